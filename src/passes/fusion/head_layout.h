// Where batch, tokens, heads and a head's numbers went in a chain of reshapes and transposes, whatever the chain is.
#pragma once

#include <optional>
#include <vector>

#include "passes/fusion/draft.h"

namespace laconic::passes::fusion {

// Part of an axis of the value that a chain begins with. Axis `root` of the value is its atoms in the order of
// descending strides.
struct Atom {
  int root = 0;
  Size size;
  Size stride;
};
using Layout = std::vector<std::vector<Atom>>;  // each axis of the chain's end as the atoms that it runs over

// The layout of a value of this shape as it is.
Layout PlainLayout(const Sizes& shape);
std::optional<Layout> Reshaped(const Layout& layout, const Sizes& shape);
std::optional<Layout> Transposed(const Layout& layout, const std::vector<std::int64_t>& perm);

// Whether these atoms, in this order, are the whole axis `root` of `size`.
bool IsWholeAxis(const std::vector<Atom>& atoms, int root, const Size& size);
std::vector<Atom> Joined(const std::vector<Atom>& a, const std::vector<Atom>& b);
Size Extent(const std::vector<Atom>& atoms);

// A value as it comes out of a chain of reshapes, transposes and scalar factors.
struct Chain {
  ValueId source = kNoValue;
  double factor = 1;
  Layout layout;
};

// Follows the chain back from `value`; null if a shape in it is not known.
std::optional<Chain> FollowBack(const Draft& draft, ValueId value);

}  // namespace laconic::passes::fusion
