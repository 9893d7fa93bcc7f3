// Comparisons, and operators on booleans.
#include <algorithm>
#include <cmath>
#include <functional>

#include "interpreter/op.h"

namespace laconic::interpreter {
namespace {

template <typename F, typename List = Numbers>
Tensors Compare(const OpCall& call) {
  return {
      Dispatch(List(), call[0].dtype(), [&]<typename T>(T) { return Zip<bool, T, T>(call, call[0], call[1], F()); })};
}

template <typename F, typename List>
Tensors Test(const OpCall& call) {
  return {Dispatch(List(), call[0].dtype(), [&]<typename T>(T) { return Map<bool, T>(call, call[0], F()); })};
}

struct IsNaN {
  bool operator()(auto x) const { return std::isnan(x); }
};

Tensors RunIsInf(const OpCall& call) {
  const bool negative = call.Int("detect_negative") != 0;
  const bool positive = call.Int("detect_positive") != 0;
  return {Dispatch(Floats(), call[0].dtype(), [&]<typename T>(T) {
    return Map<bool, T>(call, call[0], [&](T x) { return std::isinf(x) && (x < 0 ? negative : positive); });
  })};
}

// Where(condition, x, y), by bytes: any element type.
Tensors RunWhere(const OpCall& call) {
  const std::array<const Shape*, 3> shapes = {&call[0].shape(), &call[1].shape(), &call[2].shape()};
  const Shape shape = BroadcastShapes(shapes);
  const Tensor condition = BroadcastTo(call, call[0], shape);
  const Tensor x = BroadcastTo(call, call[1], shape);
  const Tensor y = BroadcastTo(call, call[2], shape);
  const std::int64_t size = SizeOf(x.dtype());
  return {call.MakeBytes(x.dtype(), shape, [&](std::byte* out) {
    for (std::int64_t i = 0; i < condition.num_elements(); ++i) {
      std::copy_n((condition.values<bool>()[static_cast<std::size_t>(i)] ? x : y).data() + i * size, size,
                  out + i * size);
    }
  })};
}

}  // namespace

std::span<const OpEntry> LogicOps() {
  static const OpEntry ops[] = {
      {"And", Compare<std::logical_and<>, Bools>},
      {"Equal", Compare<std::equal_to<>, Everything>},
      {"Greater", Compare<std::greater<>>},
      {"GreaterOrEqual", Compare<std::greater_equal<>>},
      {"IsInf", RunIsInf},
      {"IsNaN", Test<IsNaN, Floats>},
      {"Less", Compare<std::less<>>},
      {"LessOrEqual", Compare<std::less_equal<>>},
      {"Not", Test<std::logical_not<>, Bools>},
      {"Or", Compare<std::logical_or<>, Bools>},
      {"Where", RunWhere, false},
      {"Xor", Compare<std::not_equal_to<>, Bools>},
  };
  return ops;
}

}  // namespace laconic::interpreter
