#include "interpreter/op.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace laconic::interpreter {

std::vector<std::int64_t> OpCall::Ints(std::size_t i) const {
  const Tensor& tensor = (*this)[i];
  if (tensor.shape().size() > 1 || (tensor.dtype() != DType::kS64 && tensor.dtype() != DType::kS32)) {
    Fail(ErrorCode::kInvalidFile, "input ", i, ": expected s64 or s32 in one dimension, got ",
         laconic::ToString(tensor.dtype()), laconic::ToString(tensor.shape()));
  }
  if (tensor.dtype() == DType::kS64) {
    const auto values = tensor.values<std::int64_t>();
    return {values.begin(), values.end()};
  }
  const auto values = tensor.values<std::int32_t>();
  return {values.begin(), values.end()};
}

std::int64_t OpCall::OneInt(std::size_t i) const {
  const std::vector<std::int64_t> values = Ints(i);
  if (values.size() != 1) {
    Fail(ErrorCode::kInvalidFile, "input ", i, ": expected one number, got ", values.size());
  }
  return values[0];
}

std::size_t OpCall::Axis(std::int64_t axis, std::size_t rank) {
  const auto signed_rank = static_cast<std::int64_t>(rank);
  if (axis < -signed_rank || axis >= signed_rank) {
    Fail(ErrorCode::kInvalidFile, "axis ", axis, " is outside a tensor of ", rank, " dimensions");
  }
  return static_cast<std::size_t>(axis < 0 ? axis + signed_rank : axis);
}

void OpCall::CheckSize(DType dtype, const Shape& shape) const {
  if (NumElements(shape) > max_output_bytes_ / SizeOf(dtype)) {
    Fail(ErrorCode::kResource, "a result of shape ", laconic::ToString(shape), " and type ", laconic::ToString(dtype),
         " is over the limit of ", max_output_bytes_, " bytes");
  }
}

Shape BroadcastShapes(std::span<const Shape* const> shapes) {
  Shape out;
  for (const Shape* shape : shapes) {
    if (shape->size() > out.size()) {
      out.insert(out.begin(), shape->size() - out.size(), 1);
    }
    const std::size_t shift = out.size() - shape->size();
    for (std::size_t i = 0; i < shape->size(); ++i) {
      std::int64_t& size = out[shift + i];
      const std::int64_t other = (*shape)[i];
      if (size != other && size != 1 && other != 1) {
        Fail(ErrorCode::kInvalidFile, "shapes do not broadcast: ", ToString(*shape), " to ", ToString(out));
      }
      size = size == 1 ? other : size;
    }
  }
  return out;
}

std::vector<std::int64_t> BroadcastStrides(const Shape& from, const Shape& to) {
  std::vector<std::int64_t> strides(to.size());
  const std::size_t shift = to.size() - from.size();
  std::int64_t stride = 1;
  for (std::size_t i = from.size(); i-- > 0;) {
    strides[shift + i] = from[i] == 1 ? 0 : stride;
    stride *= from[i];
  }
  return strides;
}

Tensor BroadcastTo(const OpCall& call, const Tensor& tensor, const Shape& shape) {
  if (tensor.shape() == shape) {
    return tensor;
  }
  const std::array<const Shape*, 2> shapes = {&tensor.shape(), &shape};
  if (BroadcastShapes(shapes) != shape) {
    Fail(ErrorCode::kInvalidFile, "expected a shape that broadcasts to ", ToString(shape), ", got ",
         ToString(tensor.shape()));
  }
  const std::array strides = {BroadcastStrides(tensor.shape(), shape)};
  const std::int64_t length = shape.empty() ? 1 : shape.back();
  const auto size = SizeOf(tensor.dtype());
  const std::int64_t step = shape.empty() ? 0 : strides[0].back() * size;
  return call.MakeBytes(tensor.dtype(), shape, [&](std::byte* out) {
    ForEachRun<1>(shape, strides, [&](std::int64_t place, const std::array<std::int64_t, 1>& offset) {
      const std::byte* from = tensor.data() + offset[0] * size;
      if (step == size) {
        std::memcpy(out + place * size, from, static_cast<std::size_t>(length * size));
        return;
      }
      for (std::int64_t i = 0; i < length; ++i) {
        std::memcpy(out + (place + i) * size, from + i * step, static_cast<std::size_t>(size));
      }
    });
  });
}

Tensor Permute(const Tensor& tensor, const std::vector<std::size_t>& perm) {
  Shape shape;
  std::vector<std::int64_t> strides;
  for (const std::size_t axis : perm) {
    shape.push_back(tensor.shape()[axis]);
    strides.push_back(tensor.strides()[axis]);
  }
  return tensor.num_elements() == 0 ? tensor.Reshaped(std::move(shape))
                                    : tensor.Strided(0, std::move(shape), std::move(strides)).Contiguous();
}

Tensor AxisLast(const Tensor& tensor, std::size_t axis) {
  std::vector<std::size_t> perm(tensor.shape().size());
  std::iota(perm.begin(), perm.end(), std::size_t{0});
  std::rotate(perm.begin() + static_cast<std::ptrdiff_t>(axis), perm.begin() + static_cast<std::ptrdiff_t>(axis) + 1,
              perm.end());
  return axis + 1 == perm.size() ? tensor : Permute(tensor, perm);
}

Tensor AxisBack(const Tensor& tensor, std::size_t axis) {
  std::vector<std::size_t> perm(tensor.shape().size());
  std::iota(perm.begin(), perm.end(), std::size_t{0});
  std::rotate(perm.begin() + static_cast<std::ptrdiff_t>(axis), perm.end() - 1, perm.end());
  return axis + 1 == perm.size() ? tensor : Permute(tensor, perm);
}

std::int64_t Product(std::span<const std::int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
}

}  // namespace laconic::interpreter
