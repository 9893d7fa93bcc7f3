// An integer that is known but for the sizes that a model's inputs will have.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace laconic::passes::fusion {

// A polynomial in named sizes with integer coefficients, e.g. 2 * batch * sequence + 3, or unknown. What overflows, or
// has more than kMaxTerms terms, is unknown: a hostile file cannot make one grow.
class Size {
 public:
  Size() = default;           // unknown
  Size(std::int64_t number);  // NOLINT(google-explicit-constructor): reads as a literal
  static Size Named(std::string name);

  bool is_known() const noexcept { return known_; }
  std::optional<std::int64_t> number() const;  // null where a name takes part
  bool Is(std::int64_t wanted) const { return number() == wanted; }
  bool IsNegative() const { return number().value_or(0) < 0; }
  bool IsNatural() const;  // surely 0 or more, since sizes are

  // The number for given sizes; null if unknown, if a name has no size, or on overflow.
  std::optional<std::int64_t> Evaluate(const std::map<std::string, std::int64_t, std::less<>>& sizes) const;
  Dim ToDim() const;

  // Whether both are surely the same number: an unknown equals nothing.
  friend bool SameSize(const Size& a, const Size& b);
  friend Size operator+(const Size& a, const Size& b);
  friend Size operator-(const Size& a, const Size& b);
  friend Size operator*(const Size& a, const Size& b);
  // a / b where that leaves no rest whatever the named sizes are, else unknown.
  friend Size Quotient(const Size& a, const Size& b);

 private:
  using Names = std::vector<std::string>;  // sorted factors; empty for the constant term
  static constexpr std::size_t kMaxTerms = 8;
  static constexpr std::size_t kMaxFactors = 8;
  void AddTerm(const Names& names, std::int64_t coefficient);

  bool known_ = false;
  std::map<Names, std::int64_t> terms_;  // without zeros
};

bool SameSize(const Size& a, const Size& b);
Size Quotient(const Size& a, const Size& b);

using Sizes = std::vector<Size>;

bool SameSizes(const Sizes& a, const Sizes& b);
Size Product(const Sizes& sizes);

}  // namespace laconic::passes::fusion
