#include "passes/fusion/symbolic_shapes.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <unordered_map>

#include "graph/infer.h"

namespace laconic::passes::fusion {
namespace {

using Integers = std::vector<std::int64_t>;

bool IsInteger(DType dtype) { return dtype == DType::kS64 || dtype == DType::kS32 || dtype == DType::kBool; }

bool Fits(const Size& size, DType dtype) {
  const std::int64_t number = size.number().value_or(0);
  return dtype == DType::kS64 ||
         (number >= std::numeric_limits<std::int32_t>::min() && number <= std::numeric_limits<std::int32_t>::max());
}

// One output of one node while it is inferred.
class Inference {
 public:
  Inference(const Node& node, int output, const std::vector<const Facts*>& inputs, Facts* out)
      : node_(node), output_(output), in_(inputs), out_(*out) {}

  const Node& node() const { return node_; }
  int output() const { return output_; }
  std::size_t num_inputs() const { return in_.size(); }
  bool Has(std::size_t i) const { return i < in_.size() && in_[i] != nullptr; }
  const Facts& in(std::size_t i) const { return *in_[i]; }
  bool HasShapes(std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i) {
      if (!Has(i) || !in(i).has_shape) return false;
    }
    return true;
  }
  // Unknown where the input has no such axis.
  Size SizeAt(std::size_t i, std::size_t axis) const {
    return Has(i) && axis < in(i).shape.size() ? in(i).shape[axis] : Size();
  }
  std::optional<Integers> Ints(std::size_t i) const { return Has(i) ? Numbers(in(i)) : std::nullopt; }
  const Sizes* Elements(std::size_t i) const { return Has(i) && in(i).elements ? &*in(i).elements : nullptr; }

  std::int64_t Int(std::string_view name) const { return IntAttribute(node_, name); }
  std::optional<std::size_t> Axis(std::int64_t axis, std::size_t rank) const {
    const auto signed_rank = static_cast<std::int64_t>(rank);
    axis += axis < 0 ? signed_rank : 0;
    return axis >= 0 && axis < signed_rank ? std::optional(static_cast<std::size_t>(axis)) : std::nullopt;
  }

  void SetShape(Sizes shape) {
    if (shape.size() > kMaxRank) return;
    out_.has_shape = true;
    out_.shape = std::move(shape);
  }
  void SetElements(Sizes elements) {
    if (elements.size() > static_cast<std::size_t>(kMaxElements) || !IsInteger(out_.dtype)) return;
    for (Size& element : elements) {
      if (!Fits(element, out_.dtype)) element = Size();
    }
    out_.elements = std::move(elements);
  }
  void KeepElements() {
    if (Elements(0) != nullptr) SetElements(*Elements(0));
  }

 private:
  const Node& node_;
  int output_;
  const std::vector<const Facts*>& in_;
  Facts& out_;
};

// --- elementwise ----------------------------------------------------------------------------------------------------

Size BroadcastSize(const Size& a, const Size& b) {
  if (SameSize(a, b) || b.Is(1)) return a;
  if (a.Is(1)) return b;
  if (a.number()) return a;  // not 1: whatever the other is, it must be this, or 1
  return b.number() ? b : Size();
}

std::optional<Sizes> BroadcastShape(const Sizes& a, const Sizes& b) {
  const std::size_t rank = std::max(a.size(), b.size());
  Sizes out;
  for (std::size_t i = 0; i < rank; ++i) {
    const Size from_a = i + a.size() < rank ? Size(1) : a[i + a.size() - rank];
    const Size from_b = i + b.size() < rank ? Size(1) : b[i + b.size() - rank];
    out.push_back(BroadcastSize(from_a, from_b));
  }
  return out;
}

void BroadcastAll(Inference* f) {
  if (!f->HasShapes(f->num_inputs())) return;
  Sizes shape = f->in(0).shape;
  for (std::size_t i = 1; i < f->num_inputs(); ++i) {
    shape = *BroadcastShape(shape, f->in(i).shape);
  }
  f->SetShape(std::move(shape));
}

// Element by element, where an input of one element goes with all of the others'.
template <typename Combine>
void CombineElements(Inference* f, Combine combine) {
  const Sizes* a = f->Elements(0);
  const Sizes* b = f->Elements(1);
  if (a == nullptr || b == nullptr || (a->size() != b->size() && a->size() != 1 && b->size() != 1)) return;
  Sizes out;
  for (std::size_t i = 0; i < (a->size() == 1 ? b->size() : a->size()); ++i) {
    out.push_back(combine((*a)[a->size() == 1 ? 0 : i], (*b)[b->size() == 1 ? 0 : i]));
  }
  f->SetElements(std::move(out));
}

Size Divide(const Size& a, const Size& b) {
  const auto x = a.number();
  const auto y = b.number();
  const bool overflows = x && y && (*y == 0 || (*y == -1 && *x == std::numeric_limits<std::int64_t>::min()));
  return x && y ? (overflows ? Size() : Size(*x / *y)) : Quotient(a, b);
}

Size Equals(const Size& a, const Size& b) {
  if (SameSize(a, b)) return 1;
  const bool differ =
      (a - b).number().has_value() || (a.IsNegative() && b.IsNatural()) || (b.IsNegative() && a.IsNatural());
  return differ ? Size(0) : Size();
}

void Arithmetic(Inference* f) {
  BroadcastAll(f);
  const std::string& op = f->node().op;
  CombineElements(f, [&op](const Size& a, const Size& b) {
    return op == "Add" ? a + b : op == "Sub" ? a - b : op == "Mul" ? a * b : op == "Div" ? Divide(a, b) : Equals(a, b);
  });
}

void Where(Inference* f) {
  BroadcastAll(f);
  const std::optional<Integers> condition = f->Ints(0);
  const Sizes* sides[] = {f->Elements(2), f->Elements(1)};
  if (!condition || sides[0] == nullptr || sides[1] == nullptr) return;
  const std::size_t count = std::max({condition->size(), sides[0]->size(), sides[1]->size()});
  Sizes out;
  for (std::size_t i = 0; i < count; ++i) {
    const Sizes& side = *sides[(*condition)[condition->size() == 1 ? 0 : std::min(i, condition->size() - 1)] != 0];
    if ((condition->size() != 1 && condition->size() != count) || (side.size() != 1 && side.size() != count)) return;
    out.push_back(side[side.size() == 1 ? 0 : i]);
  }
  f->SetElements(std::move(out));
}

void Same(Inference* f) {
  if (f->HasShapes(1)) f->SetShape(f->in(0).shape);
}

void Identity(Inference* f) {
  Same(f);
  f->KeepElements();
}

void Cast(Inference* f) {
  Same(f);
  const bool to_bool = f->node().attributes.contains("to") && f->node().attributes.at("to") == Attribute("bool");
  if (!to_bool) f->KeepElements();
}

// --- shapes as values -----------------------------------------------------------------------------------------------

void ShapeOf(Inference* f) {
  if (!f->HasShapes(1)) return;
  const auto rank = static_cast<std::int64_t>(f->in(0).shape.size());
  const auto place = [&](std::int64_t at) { return std::clamp(at < 0 ? at + rank : at, std::int64_t{0}, rank); };
  const std::int64_t begin = place(std::max(f->Int("start"), -rank));
  const std::int64_t end = std::max(begin, place(std::max(f->Int("end"), -rank)));
  Sizes elements(f->in(0).shape.begin() + begin, f->in(0).shape.begin() + end);
  f->SetShape({end - begin});
  f->SetElements(std::move(elements));
}

void SizeOf(Inference* f) {
  f->SetShape({});
  if (f->HasShapes(1)) f->SetElements({Product(f->in(0).shape)});
}

void Gather(Inference* f) {
  if (!f->HasShapes(2)) return;
  const Sizes& data = f->in(0).shape;
  const std::optional<std::size_t> axis = f->Axis(f->Int("axis"), data.size());
  if (!axis) return;
  Sizes shape(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(*axis));
  shape.insert(shape.end(), f->in(1).shape.begin(), f->in(1).shape.end());
  shape.insert(shape.end(), data.begin() + static_cast<std::ptrdiff_t>(*axis) + 1, data.end());
  f->SetShape(std::move(shape));
  const std::optional<Integers> indices = f->Ints(1);
  if (f->Elements(0) == nullptr || !indices || data.size() != 1) return;
  Sizes picked;
  for (const std::int64_t index : *indices) {
    const std::optional<std::size_t> at = f->Axis(index, f->Elements(0)->size());
    if (!at) return;
    picked.push_back((*f->Elements(0))[*at]);
  }
  f->SetElements(std::move(picked));
}

void GatherElements(Inference* f) {
  if (f->HasShapes(2)) f->SetShape(f->in(1).shape);
}

void GatherND(Inference* f) {
  if (!f->HasShapes(2) || f->Int("batch_dims") != 0 || f->in(1).shape.empty()) return;
  const std::int64_t depth = f->in(1).shape.back().number().value_or(-1);
  const auto rank = static_cast<std::int64_t>(f->in(0).shape.size());
  if (depth < 0 || depth > rank) return;
  Sizes shape(f->in(1).shape.begin(), f->in(1).shape.end() - 1);
  shape.insert(shape.end(), f->in(0).shape.begin() + depth, f->in(0).shape.end());
  f->SetShape(std::move(shape));
}

// Where a slice begins or ends, counted from the front of an axis of size `size`.
Size SliceBound(const Size& bound, const Size& size) {
  const std::optional<std::int64_t> at = bound.number();
  if (!at) return bound;
  if (*at < 0 && size.number()) return std::max<std::int64_t>(*size.number() + *at, 0);
  if (*at < 0) return *at == -1 ? size + bound : Size();  // a named size is at least 1
  if (size.number()) return std::min(*at, *size.number());
  if (*at > std::numeric_limits<std::int32_t>::max() - 1) return size;
  return *at <= 1 ? bound : Size();  // a named size is at least 1
}

Size SlicedSize(const Size& begin, const Size& end, std::int64_t step, const Size& size) {
  if (step != 1) return {};
  const Size length = SliceBound(end, size) - SliceBound(begin, size);
  return length.number() ? Size(std::max<std::int64_t>(*length.number(), 0)) : length;
}

void SliceElements(Inference* f, const Sizes& from, const Integers& begin, const Integers& end, std::int64_t step) {
  const auto size = static_cast<std::int64_t>(from.size());
  if (begin.size() != 1 || end.size() != 1 || step == 0 || step == std::numeric_limits<std::int64_t>::min()) return;
  const auto bound = [size](std::int64_t at, std::int64_t least, std::int64_t most) {
    return std::clamp(at < 0 ? at + size : at, least, most);
  };
  Sizes out;
  if (step > 0) {
    for (std::int64_t i = bound(begin[0], 0, size); i < bound(end[0], 0, size); i += std::min(step, size + 1)) {
      out.push_back(from[static_cast<std::size_t>(i)]);
    }
  } else {
    const std::int64_t last = end[0] < -size ? -1 : bound(end[0], -1, size - 1);
    for (std::int64_t i = bound(std::max(begin[0], -size - 1), -1, size - 1); i > last;
         i += std::max(step, -size - 1)) {
      out.push_back(from[static_cast<std::size_t>(i)]);
    }
  }
  f->SetShape({static_cast<std::int64_t>(out.size())});
  f->SetElements(std::move(out));
}

void Slice(Inference* f) {
  if (!f->HasShapes(1) || f->Elements(1) == nullptr || f->Elements(2) == nullptr) return;
  const Sizes& begin = *f->Elements(1);
  const Sizes& end = *f->Elements(2);
  Integers axes;
  for (std::size_t i = 0; i < begin.size(); ++i) {
    axes.push_back(static_cast<std::int64_t>(i));
  }
  Integers steps(begin.size(), 1);
  for (const auto& [input, list] : {std::pair{std::size_t{3}, &axes}, {std::size_t{4}, &steps}}) {
    if (!f->Has(input)) continue;
    if (!f->Ints(input)) return;
    *list = *f->Ints(input);
  }
  if (end.size() != begin.size() || axes.size() != begin.size() || steps.size() != begin.size()) return;
  Sizes shape = f->in(0).shape;
  for (std::size_t i = 0; i < begin.size(); ++i) {
    const std::optional<std::size_t> axis = f->Axis(axes[i], shape.size());
    if (!axis) return;
    shape[*axis] = SlicedSize(begin[i], end[i], steps[i], shape[*axis]);
  }
  f->SetShape(std::move(shape));
  if (f->Elements(0) != nullptr && f->in(0).shape.size() == 1 && f->Ints(1) && f->Ints(2)) {
    SliceElements(f, *f->Elements(0), *f->Ints(1), *f->Ints(2), steps.empty() ? 1 : steps[0]);
  }
}

void Concat(Inference* f) {
  if (!f->HasShapes(f->num_inputs())) return;
  Sizes shape = f->in(0).shape;
  const std::optional<std::size_t> axis = f->Axis(f->Int("axis"), shape.size());
  if (!axis) return;
  Sizes elements;
  bool known = shape.size() == 1;
  for (std::size_t i = 0; i < f->num_inputs(); ++i) {
    if (f->in(i).shape.size() != shape.size()) return;
    if (i > 0) shape[*axis] = shape[*axis] + f->in(i).shape[*axis];
    known = known && f->Elements(i) != nullptr && elements.size() <= static_cast<std::size_t>(kMaxElements);
    if (known) elements.insert(elements.end(), f->Elements(i)->begin(), f->Elements(i)->end());
  }
  f->SetShape(std::move(shape));
  if (known) f->SetElements(std::move(elements));
}

void Range(Inference* f) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (f->Elements(i) == nullptr || f->Elements(i)->size() != 1) return;
  }
  const Size& begin = (*f->Elements(0))[0];
  const Size length = (*f->Elements(1))[0] - begin;
  if (!(*f->Elements(2))[0].Is(1) || length.IsNegative()) return;
  f->SetShape({length});
  if (length.number().value_or(kMaxElements + 1) > kMaxElements) return;
  Sizes elements;
  for (std::int64_t i = 0; i < *length.number(); ++i) {
    elements.push_back(begin + i);
  }
  f->SetElements(std::move(elements));
}

// --- reshapes -------------------------------------------------------------------------------------------------------

void Reshape(Inference* f) {
  const Sizes* target = f->Elements(1);
  if (target == nullptr) {
    if (f->HasShapes(2) && f->in(1).has_rank(1) && f->in(1).shape[0].number()) {
      const std::int64_t rank = *f->in(1).shape[0].number();
      if (rank >= 0 && rank <= kMaxElements) f->SetShape(Sizes(static_cast<std::size_t>(rank)));
    }
    return;
  }
  const bool copies_at_zero = f->Int("allowzero") == 0;
  Sizes shape;
  std::optional<std::size_t> open;
  for (const Size& size : *target) {
    const std::size_t at = shape.size();
    if (size.Is(0) && copies_at_zero) {
      shape.push_back(f->SizeAt(0, at));
    } else {
      if (size.Is(-1)) open = at;
      shape.push_back(size.Is(-1) ? Size(1) : size);
    }
  }
  if (open) {
    shape[*open] = f->HasShapes(1) ? Quotient(Product(f->in(0).shape), Product(shape)) : Size();
  }
  f->SetShape(std::move(shape));
  f->KeepElements();
}

void Flatten(Inference* f) {
  if (!f->HasShapes(1)) return;
  const Sizes& shape = f->in(0).shape;
  const std::int64_t axis = f->Int("axis");
  const std::int64_t at = axis < 0 ? axis + static_cast<std::int64_t>(shape.size()) : axis;
  if (at < 0 || at > static_cast<std::int64_t>(shape.size())) return;
  f->SetShape({Product({shape.begin(), shape.begin() + at}), Product({shape.begin() + at, shape.end()})});
  f->KeepElements();
}

// The axes that an op's input 1 names, as flags over `rank` axes.
std::optional<std::vector<bool>> AxisFlags(const Inference& f, std::size_t rank) {
  std::vector<bool> flags(rank);
  const std::optional<Integers> axes = f.Ints(1);
  if (!axes) return std::nullopt;
  for (const std::int64_t axis : *axes) {
    const std::optional<std::size_t> at = f.Axis(axis, rank);
    if (!at) return std::nullopt;
    flags[*at] = true;
  }
  return flags;
}

void Squeeze(Inference* f) {
  if (!f->HasShapes(1)) return;
  const Sizes& from = f->in(0).shape;
  std::optional<std::vector<bool>> flags = AxisFlags(*f, from.size());
  if (!f->Has(1)) {
    if (!std::ranges::all_of(from, [](const Size& size) { return size.number().has_value(); })) return;
    flags.emplace();
    std::ranges::transform(from, std::back_inserter(*flags), [](const Size& size) { return size.Is(1); });
  }
  if (!flags) return;
  Sizes shape;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!(*flags)[i]) shape.push_back(from[i]);
  }
  f->SetShape(std::move(shape));
  f->KeepElements();
}

void Unsqueeze(Inference* f) {
  if (!f->HasShapes(1) || !f->Ints(1)) return;
  const Sizes& from = f->in(0).shape;
  const std::size_t rank = from.size() + f->Ints(1)->size();
  const std::optional<std::vector<bool>> flags = AxisFlags(*f, rank);
  if (!flags || std::ranges::count(*flags, false) != static_cast<std::ptrdiff_t>(from.size())) return;
  Sizes shape;
  std::size_t next = 0;
  for (const bool is_new : *flags) {
    shape.push_back(is_new ? Size(1) : from[next++]);
  }
  f->SetShape(std::move(shape));
  f->KeepElements();
}

void Expand(Inference* f) {
  if (!f->HasShapes(1) || f->Elements(1) == nullptr) return;
  Sizes shape = *BroadcastShape(f->in(0).shape, *f->Elements(1));
  const std::int64_t count = Product(shape).number().value_or(-1);
  if (f->Elements(0) != nullptr && f->Elements(0)->size() == 1 && count >= 0 && count <= kMaxElements) {
    f->SetElements(Sizes(static_cast<std::size_t>(count), (*f->Elements(0))[0]));
  }
  f->SetShape(std::move(shape));
}

void Tile(Inference* f) {
  if (!f->HasShapes(1) || f->Elements(1) == nullptr || f->Elements(1)->size() != f->in(0).shape.size()) return;
  Sizes shape = f->in(0).shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    shape[i] = shape[i] * (*f->Elements(1))[i];
  }
  f->SetShape(std::move(shape));
}

void Transpose(Inference* f) {
  if (!f->HasShapes(1)) return;
  Sizes shape = f->in(0).shape;
  const auto found = f->node().attributes.find("perm");
  const auto* perm = found == f->node().attributes.end() ? nullptr : std::get_if<Integers>(&found->second);
  if (perm == nullptr) {
    std::ranges::reverse(shape);
  } else if (perm->size() != shape.size()) {
    return;
  } else {
    for (std::size_t i = 0; i < shape.size(); ++i) {
      const std::optional<std::size_t> axis = f->Axis((*perm)[i], shape.size());
      if (!axis) return;
      shape[i] = f->in(0).shape[*axis];
    }
  }
  f->SetShape(std::move(shape));
}

void Split(Inference* f) {
  if (!f->HasShapes(1)) return;
  Sizes shape = f->in(0).shape;
  const std::optional<std::size_t> axis = f->Axis(f->Int("axis"), shape.size());
  const auto count = static_cast<std::int64_t>(f->node().outputs.size());
  if (!axis) return;
  Size& size = shape[*axis];
  if (f->Has(1)) {
    const bool known = f->Elements(1) != nullptr && static_cast<std::size_t>(f->output()) < f->Elements(1)->size();
    size = known ? (*f->Elements(1))[static_cast<std::size_t>(f->output())] : Size();
  } else if (size.number()) {
    size = infer::PartSize(*size.number(), count, f->output());
  } else {
    size = Quotient(size, count);
  }
  f->SetShape(std::move(shape));
}

// --- sums -----------------------------------------------------------------------------------------------------------

void Reduce(Inference* f) {
  if (!f->HasShapes(1)) return;
  const Sizes& from = f->in(0).shape;
  std::optional<std::vector<bool>> flags = AxisFlags(*f, from.size());
  const bool names_none = !f->Has(1) || (f->Ints(1) && f->Ints(1)->empty());
  if (names_none) flags = std::vector<bool>(from.size(), f->Int("noop_with_empty_axes") == 0);
  if (!flags) return;
  Sizes shape;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!(*flags)[i]) {
      shape.push_back(from[i]);
    } else if (f->Int("keepdims") != 0) {
      shape.emplace_back(1);
    }
  }
  f->SetShape(std::move(shape));
}

void ArgReduce(Inference* f) {
  if (!f->HasShapes(1)) return;
  Sizes shape = f->in(0).shape;
  const std::optional<std::size_t> axis = f->Axis(f->Int("axis"), shape.size());
  if (!axis) return;
  shape[*axis] = 1;
  if (f->Int("keepdims") == 0) shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(*axis));
  f->SetShape(std::move(shape));
}

void Multiply(Inference* f, const Sizes& a, const Sizes& b) {
  if (a.size() < 2 || b.size() < 2) return;
  Sizes shape = *BroadcastShape({a.begin(), a.end() - 2}, {b.begin(), b.end() - 2});
  shape.push_back(a[a.size() - 2]);
  shape.push_back(b.back());
  f->SetShape(std::move(shape));
}

void MatMul(Inference* f) {
  if (f->HasShapes(2)) Multiply(f, f->in(0).shape, f->in(1).shape);
}

void QLinearMatMul(Inference* f) {
  if (f->HasShapes(4)) Multiply(f, f->in(0).shape, f->in(3).shape);
}

void Gemm(Inference* f) {
  if (!f->HasShapes(2) || !f->in(0).has_rank(2) || !f->in(1).has_rank(2)) return;
  f->SetShape({f->in(0).shape[f->Int("transA") != 0 ? 1 : 0], f->in(1).shape[f->Int("transB") != 0 ? 0 : 1]});
}

// --- laconic's own --------------------------------------------------------------------------------------------------

void Linear(Inference* f) {
  if (!f->HasShapes(2) || f->in(0).shape.empty() || !f->in(1).has_rank(2)) return;
  Sizes shape = f->in(0).shape;
  shape.back() = f->in(1).shape[1];
  f->SetShape(std::move(shape));
}

void Attention(Inference* f) {
  if (!f->HasShapes(3) || !f->in(0).has_rank(3) || !f->in(2).has_rank(3)) return;
  const Size width = Quotient(f->in(2).shape[2] * f->Int("q_num_heads"), f->Int("kv_num_heads"));
  f->SetShape({f->in(0).shape[0], f->in(0).shape[1], width});
}

void Positions(Inference* f) {
  if (f->HasShapes(1) && f->in(0).has_rank(2)) f->SetShape({1, f->in(0).shape[1]});
}

void KeyMask(Inference* f) {
  if (f->HasShapes(1) && f->in(0).has_rank(2)) f->SetShape({f->in(0).shape[0], 1, 1, f->in(0).shape[1]});
}

void MeanPool(Inference* f) {
  if (f->HasShapes(1) && f->in(0).has_rank(3)) f->SetShape({f->in(0).shape[0], f->in(0).shape[2]});
}

void DynamicQuantizeLinear(Inference* f) {
  if (f->output() == 0) {
    Same(f);
  } else {
    f->SetShape({});
  }
}

void LayerNormalization(Inference* f) {
  if (f->output() == 0) Same(f);
}

using Rule = void (*)(Inference*);

const std::unordered_map<std::string_view, Rule>& Rules() {
  static const std::unordered_map<std::string_view, Rule> rules = [] {
    std::unordered_map<std::string_view, Rule> all = {
        {"ArgMax", ArgReduce},
        {"ArgMin", ArgReduce},
        {"Attention", Attention},
        {"Cast", Cast},
        {"Concat", Concat},
        {"DynamicQuantizeLinear", DynamicQuantizeLinear},
        {"Expand", Expand},
        {"Flatten", Flatten},
        {"Gather", Gather},
        {"GatherElements", GatherElements},
        {"GatherND", GatherND},
        {"Gemm", Gemm},
        {"Identity", Identity},
        {"LayerNormalization", LayerNormalization},
        {"MatMul", MatMul},
        {"MatMulInteger", MatMul},
        {"QLinearMatMul", QLinearMatMul},
        {"Range", Range},
        {"Reshape", Reshape},
        {"Shape", ShapeOf},
        {"Size", SizeOf},
        {"Slice", Slice},
        {"Split", Split},
        {"Squeeze", Squeeze},
        {"Tile", Tile},
        {"Transpose", Transpose},
        {"Unsqueeze", Unsqueeze},
        {"Where", Where},
        {"laconic.Int8Attention", Same},
        {"laconic.KeyMask", KeyMask},
        {"laconic.Linear", Linear},
        {"laconic.MeanPool", MeanPool},
        {"laconic.Positions", Positions},
    };
    for (const char* op : {"Add", "Sub", "Mul", "Div", "Equal"}) all[op] = Arithmetic;
    for (const char* op : {"And", "Or", "Xor", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mean",
                           "Sum", "Pow", "Mod"}) {
      all[op] = BroadcastAll;
    }
    for (const char* op : {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
                           "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"}) {
      all[op] = Reduce;
    }
    for (const char* op : {"Abs",        "Ceil",
                           "Clip",       "Cos",
                           "CumSum",     "DequantizeLinear",
                           "Elu",        "Erf",
                           "Exp",        "Floor",
                           "Gelu",       "HardSigmoid",
                           "HardSwish",  "IsInf",
                           "IsNaN",      "LeakyRelu",
                           "Log",        "LogSoftmax",
                           "Mish",       "Neg",
                           "Not",        "QuantizeLinear",
                           "Reciprocal", "Relu",
                           "Round",      "ScatterND",
                           "Sigmoid",    "Sign",
                           "Sin",        "Softmax",
                           "Softplus",   "Softsign",
                           "Sqrt",       "Tanh",
                           "Trilu",      "laconic.DynamicQuantize"}) {
      all[op] = Same;
    }
    return all;
  }();
  return rules;
}

template <typename T>
Sizes ReadElements(const Tensor& tensor) {
  const std::span<const T> values = tensor.values<T>();
  return {values.begin(), values.end()};
}

}  // namespace

Facts FactsOf(const Tensor& constant) {
  Facts facts{constant.dtype(), true, {constant.shape().begin(), constant.shape().end()}};
  if (constant.num_elements() > kMaxElements) return facts;
  const Tensor flat = constant.Contiguous();
  switch (constant.dtype()) {
    case DType::kS64:
      facts.elements = ReadElements<std::int64_t>(flat);
      break;
    case DType::kS32:
      facts.elements = ReadElements<std::int32_t>(flat);
      break;
    case DType::kBool:
      facts.elements = ReadElements<bool>(flat);
      break;
    default:
      break;
  }
  return facts;
}

Facts InferFacts(const Node& node, int output, DType dtype, const std::vector<const Facts*>& inputs) {
  Facts facts{dtype};
  const auto rule = Rules().find(node.op);
  if (rule != Rules().end()) {
    Inference inference(node, output, inputs, &facts);
    rule->second(&inference);
  }
  // Of what cannot run (a Reshape to fewer elements), and of broadcasts in two directions, no elements are known.
  const std::optional<std::int64_t> count = facts.has_shape ? Product(facts.shape).number() : std::nullopt;
  if (facts.elements && count && *count != static_cast<std::int64_t>(facts.elements->size())) {
    facts.elements.reset();
  }
  return facts;
}

std::optional<std::vector<std::int64_t>> Numbers(const Facts& facts) {
  if (!facts.elements) return std::nullopt;
  std::vector<std::int64_t> numbers;
  for (const Size& size : *facts.elements) {
    if (!size.number()) return std::nullopt;
    numbers.push_back(*size.number());
  }
  return numbers;
}

}  // namespace laconic::passes::fusion
