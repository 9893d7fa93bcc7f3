// What the operators of the interpreter are written with: a call, dispatch on element types, walks over broadcast
// shapes. Private to src/interpreter.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "graph/ops.h"
#include "laconic/error.h"
#include "tensor/tensor.h"

namespace laconic::interpreter {

// One node with its inputs. The schema has accepted their types, and all are contiguous.
class OpCall {
 public:
  OpCall(const Node& node, std::span<const Tensor* const> inputs, std::int64_t max_output_bytes)
      : node_(node), inputs_(inputs), max_output_bytes_(max_output_bytes) {}

  std::size_t num_inputs() const noexcept { return inputs_.size(); }
  std::size_t num_outputs() const noexcept { return node_.outputs.size(); }
  bool has(std::size_t i) const noexcept { return i < inputs_.size() && inputs_[i] != nullptr; }
  const Tensor& operator[](std::size_t i) const { return *inputs_[i]; }

  std::int64_t Int(std::string_view attribute) const { return IntAttribute(node_, attribute); }
  float Float(std::string_view attribute) const { return FloatAttribute(node_, attribute); }
  std::string String(std::string_view attribute) const { return StringAttribute(node_, attribute); }
  std::string_view op() const noexcept { return node_.op; }
  const Attributes& attributes() const noexcept { return node_.attributes; }

  // Input `i` as integers, s64 or s32; or one of them. Errors: kInvalidFile, expected and got.
  std::vector<std::int64_t> Ints(std::size_t i) const;
  std::int64_t OneInt(std::size_t i) const;
  // Attribute "axis", or any axis, counted from the front of `rank` dimensions. Errors: kInvalidFile if out of range.
  std::size_t Axis(std::size_t rank) const { return Axis(Int("axis"), rank); }
  static std::size_t Axis(std::int64_t axis, std::size_t rank);

  // A new tensor that `fill` writes as elements T. Errors: kResource over the limit, before anything is allocated.
  template <typename T, typename Fill>
  Tensor Make(Shape shape, Fill&& fill) const {
    return MakeBytes(kDTypeOf<T>, std::move(shape), [&](std::byte* bytes) { fill(reinterpret_cast<T*>(bytes)); });
  }
  template <typename Fill>
  Tensor MakeBytes(DType dtype, Shape shape, Fill&& fill) const {
    CheckSize(dtype, shape);
    return Tensor::Make(dtype, std::move(shape), fill);
  }
  void CheckSize(DType dtype, const Shape& shape) const;

 private:
  const Node& node_;
  std::span<const Tensor* const> inputs_;
  std::int64_t max_output_bytes_;
};

using Tensors = std::vector<Tensor>;
using OpFunction = Tensors (*)(const OpCall& call);

struct OpEntry {
  std::string_view op;
  OpFunction run;
  // f16 and bf16 inputs are handed over as f32, and f32 outputs are rounded back: ONNX does not say how an operator
  // rounds on the way.
  bool half_as_f32 = true;
};

std::span<const OpEntry> AttentionOps();
std::span<const OpEntry> CastOps();
std::span<const OpEntry> ElementwiseOps();
std::span<const OpEntry> IndexOps();
std::span<const OpEntry> LogicOps();
std::span<const OpEntry> MatrixOps();
std::span<const OpEntry> NormalizeOps();
std::span<const OpEntry> QuantizeOps();
std::span<const OpEntry> ReduceOps();
std::span<const OpEntry> ShapeOps();
std::span<const OpEntry> SortOps();

// Errors: kUnsupported for an operator that has none.
const OpEntry& FindEntry(std::string_view op);

// ---- Element types ----

template <typename... T>
struct Types {};
using Floats = Types<float, double>;
using Integers = Types<std::int64_t, std::int32_t, std::int16_t, std::int8_t, std::uint8_t>;
using Signed = Types<float, double, std::int64_t, std::int32_t, std::int16_t, std::int8_t>;
using Numbers = Types<float, double, std::int64_t, std::int32_t, std::int16_t, std::int8_t, std::uint8_t>;
using Everything = Types<float, double, std::int64_t, std::int32_t, std::int16_t, std::int8_t, std::uint8_t, bool>;
using Bools = Types<bool>;

// Calls f(T()) for the C++ type of `dtype`. Errors: kUnsupported if it is none of the list's.
template <typename... T, typename F>
auto Dispatch(Types<T...> /*types*/, DType dtype, F&& f) {
  using First = std::tuple_element_t<0, std::tuple<T...>>;
  decltype(f(First())) result;
  const bool found = ((kDTypeOf<T> == dtype && (result = f(T()), true)) || ...);
  if (!found) {
    Fail(ErrorCode::kUnsupported, "not implemented for element type ", ToString(dtype));
  }
  return result;
}

// A NumPy-like value for sums and products of T: floats in f64, integers wrap around in 64 bits.
template <typename T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t>;

// ---- Shapes ----

Shape BroadcastShapes(std::span<const Shape* const> shapes);  // Errors: kInvalidFile
// Strides with which a contiguous tensor of shape `from` is read as one of shape `to`; 0 where it repeats.
std::vector<std::int64_t> BroadcastStrides(const Shape& from, const Shape& to);
// Errors: kInvalidFile for a tensor that does not broadcast to `shape`.
Tensor BroadcastTo(const OpCall& call, const Tensor& tensor, const Shape& shape);
// A contiguous copy (or `tensor` itself) with the axes in the order `perm`.
Tensor Permute(const Tensor& tensor, const std::vector<std::size_t>& perm);
// [..., axis, ...] -> [..., ..., axis], and back.
Tensor AxisLast(const Tensor& tensor, std::size_t axis);
Tensor AxisBack(const Tensor& tensor, std::size_t axis);
std::int64_t Product(std::span<const std::int64_t> sizes);

// Walks a shape in row-major order: for each run of the last axis calls run(place of its first element, offsets of N
// operands). An operand's step within a run is its last stride.
template <std::size_t N, typename Run>
void ForEachRun(const Shape& shape, const std::array<std::vector<std::int64_t>, N>& strides, Run&& run) {
  const std::size_t outer = shape.empty() ? 0 : shape.size() - 1;
  const std::int64_t length = shape.empty() ? 1 : shape.back();
  if (NumElements(shape) == 0) {
    return;
  }
  std::vector<std::int64_t> index(outer);
  std::array<std::int64_t, N> offset{};
  for (std::int64_t place = 0;; place += length) {
    run(place, offset);
    std::size_t axis = outer;
    while (true) {
      if (axis-- == 0) {
        return;
      }
      for (std::size_t i = 0; i < N; ++i) {
        offset[i] += strides[i][axis];
      }
      if (++index[axis] < shape[axis]) {
        break;
      }
      for (std::size_t i = 0; i < N; ++i) {
        offset[i] -= strides[i][axis] * shape[axis];
      }
      index[axis] = 0;
    }
  }
}

// out[i] = f(a[i], b[i]) with NumPy's broadcasting.
template <typename Out, typename A, typename B, typename F>
Tensor Zip(const OpCall& call, const Tensor& a, const Tensor& b, F&& f) {
  const std::array<const Shape*, 2> shapes = {&a.shape(), &b.shape()};
  const Shape shape = BroadcastShapes(shapes);
  const std::array strides = {BroadcastStrides(a.shape(), shape), BroadcastStrides(b.shape(), shape)};
  const std::int64_t length = shape.empty() ? 1 : shape.back();
  const std::int64_t a_step = shape.empty() ? 0 : strides[0].back();
  const std::int64_t b_step = shape.empty() ? 0 : strides[1].back();
  const A* a_data = a.data_as<A>();
  const B* b_data = b.data_as<B>();
  return call.Make<Out>(shape, [&](Out* out) {
    ForEachRun<2>(shape, strides, [&](std::int64_t place, const std::array<std::int64_t, 2>& offset) {
      for (std::int64_t i = 0; i < length; ++i) {
        out[place + i] = static_cast<Out>(f(a_data[offset[0] + i * a_step], b_data[offset[1] + i * b_step]));
      }
    });
  });
}

// out[i] = f(x[i])
template <typename Out, typename T, typename F>
Tensor Map(const OpCall& call, const Tensor& x, F&& f) {
  const std::span<const T> from = x.values<T>();
  return call.Make<Out>(x.shape(), [&](Out* out) {
    for (std::size_t i = 0; i < from.size(); ++i) {
      out[i] = static_cast<Out>(f(from[i]));
    }
  });
}

// Any element type to any other, as ONNX's Cast.
Tensor Convert(const OpCall& call, const Tensor& x, DType to);

}  // namespace laconic::interpreter
