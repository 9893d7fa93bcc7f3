#include "passes/fusion/head_layout.h"

#include <algorithm>
#include <deque>

#include "passes/fusion/match.h"

namespace laconic::passes::fusion {

Layout PlainLayout(const Sizes& shape) {
  Layout layout;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    layout.emplace_back();
    if (!shape[i].Is(1)) layout.back().push_back({static_cast<int>(i), shape[i], 1});
  }
  return layout;
}

std::optional<Layout> Reshaped(const Layout& layout, const Sizes& shape) {
  std::deque<Atom> atoms;
  for (const std::vector<Atom>& axis : layout) {
    atoms.insert(atoms.end(), axis.begin(), axis.end());
  }
  Layout out;
  for (const Size& wanted : shape) {
    out.emplace_back();
    Size open = wanted;  // what is still to be covered
    while (!open.Is(1)) {
      if (atoms.empty()) return std::nullopt;
      Atom atom = atoms.front();
      atoms.pop_front();
      const Size after = Quotient(open, atom.size);
      if (!after.is_known()) {  // only the first part of this atom
        const Size rest = Quotient(atom.size, open);
        if (!rest.is_known()) return std::nullopt;
        atoms.push_front({atom.root, rest, atom.stride});
        atom = {atom.root, open, atom.stride * rest};
      }
      out.back().push_back(atom);
      open = after.is_known() ? after : Size(1);
    }
  }
  return atoms.empty() ? std::optional(out) : std::nullopt;
}

std::optional<Layout> Transposed(const Layout& layout, const std::vector<std::int64_t>& perm) {
  if (perm.size() != layout.size()) return std::nullopt;
  Layout out;
  for (const std::int64_t axis : perm) {
    if (axis < 0 || axis >= static_cast<std::int64_t>(layout.size())) return std::nullopt;
    out.push_back(layout[static_cast<std::size_t>(axis)]);
  }
  return out;
}

bool IsWholeAxis(const std::vector<Atom>& atoms, int root, const Size& size) {
  Size stride = size;
  for (const Atom& atom : atoms) {
    stride = Quotient(stride, atom.size);
    if (atom.root != root || !SameSize(stride, atom.stride)) return false;
  }
  return stride.Is(1);
}

std::vector<Atom> Joined(const std::vector<Atom>& a, const std::vector<Atom>& b) {
  std::vector<Atom> joined = a;
  joined.insert(joined.end(), b.begin(), b.end());
  return joined;
}

Size Extent(const std::vector<Atom>& atoms) {
  Size size(1);
  for (const Atom& atom : atoms) {
    size = size * atom.size;
  }
  return size;
}

std::optional<Chain> FollowBack(const Draft& draft, ValueId value) {
  Chain chain{value};
  std::vector<ValueId> steps;  // from the end to the beginning
  for (int i = 0; i < kMaxChain; ++i) {
    const Node* node = draft.Producer(chain.source);
    if (node == nullptr) break;
    if (const auto scaled = MatchScaled(draft, chain.source)) {
      chain.factor *= scaled->factor;
      chain.source = scaled->x;
    } else if (IsReshape(*node) || node->op == "Transpose") {
      steps.push_back(chain.source);
      chain.source = node->inputs[0];
    } else {
      break;
    }
  }
  if (!draft.facts(chain.source).has_shape) return std::nullopt;
  std::optional<Layout> layout = PlainLayout(draft.facts(chain.source).shape);
  for (auto step = steps.rbegin(); step != steps.rend() && layout; ++step) {
    const Node* node = draft.Producer(*step);
    const auto perm = node->attributes.find("perm");
    if (node->op != "Transpose") {
      layout = draft.facts(*step).has_shape ? Reshaped(*layout, draft.facts(*step).shape) : std::nullopt;
    } else if (perm != node->attributes.end()) {
      layout = Transposed(*layout, std::get<std::vector<std::int64_t>>(perm->second));
    } else {
      std::ranges::reverse(*layout);
    }
  }
  if (!layout) return std::nullopt;
  chain.layout = std::move(*layout);
  return chain;
}

}  // namespace laconic::passes::fusion
