#include "runtime/packed_linear.h"

#include <cstring>

#include "laconic/error.h"

namespace laconic::runtime {
namespace {

std::int64_t TotalColumns(std::span<const LinearPart> parts) {
  std::int64_t n = 0;
  for (const LinearPart& part : parts) {
    n += part.weight.shape()[1];
  }
  return n;
}

std::vector<float> JoinBias(std::span<const LinearPart> parts) {
  std::vector<float> bias;
  for (const LinearPart& part : parts) {
    const auto n = static_cast<std::size_t>(part.weight.shape()[1]);
    if (part.bias != nullptr) {
      const std::span<const float> values = part.bias->values<float>();
      bias.insert(bias.end(), values.begin(), values.end());
    } else {
      bias.resize(bias.size() + n);
    }
  }
  return bias;
}

// The weights side by side, [n, k]: for one part the view that there is, else a copy.
Tensor JoinWeights(std::span<const LinearPart> parts) {
  if (parts.size() == 1) {
    return parts[0].weight.Transposed();
  }
  const Tensor& first = parts[0].weight;
  const std::int64_t k = first.shape()[0];
  return Tensor::Make(first.dtype(), {TotalColumns(parts), k}, [&](std::byte* data) {
    for (const LinearPart& part : parts) {
      const Tensor rows = part.weight.Transposed().Contiguous();
      std::memcpy(data, rows.data(), static_cast<std::size_t>(rows.size_bytes()));
      data += rows.size_bytes();
      part.weight.ReleasePages();
    }
  });
}

std::int64_t BytesOf(const std::vector<float>& values) {
  return static_cast<std::int64_t>(values.size() * sizeof(float));
}

}  // namespace

kernels::WeightType WeightTypeOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return kernels::WeightType::kF32;
    case DType::kF16:
      return kernels::WeightType::kF16;
    case DType::kBF16:
      return kernels::WeightType::kBF16;
    case DType::kS8:
      return kernels::WeightType::kS8;
    default:
      Fail(ErrorCode::kUnsupported, "no kernel reads weights of dtype ", ToString(dtype));
  }
}

std::int64_t PackedS8::size_bytes() const noexcept { return weights.size_bytes() + BytesOf(scale) + BytesOf(bias); }
std::int64_t PackedF32::size_bytes() const noexcept { return weights.size_bytes() + BytesOf(bias); }

PackedS8 PackS8(std::span<const LinearPart> parts, kernels::Isa isa) {
  PackedS8 packed;
  packed.kernels = &kernels::GetGemmU8S8(isa);
  packed.k = parts[0].weight.shape()[0];
  packed.n = TotalColumns(parts);
  if (packed.k > kernels::kMaxGemmU8S8K) {
    Fail(ErrorCode::kUnsupported, "an INT8 layer of ", packed.k, " inputs; s32 sums are exact up to ",
         kernels::kMaxGemmU8S8K);
  }
  packed.bias = JoinBias(parts);
  for (const LinearPart& part : parts) {
    const std::span<const float> values = part.scale.values<float>();
    packed.scale.insert(packed.scale.end(), values.begin(), values.end());
  }
  const Tensor rows = JoinWeights(parts);
  packed.weights = AlignedBytes(packed.kernels->packed_bytes(packed.k, packed.n));
  packed.kernels->pack(packed.k, packed.n, rows.data_as<std::int8_t>(), rows.strides()[1], rows.strides()[0],
                       packed.weights.data());
  rows.ReleasePages();
  return packed;
}

PackedF32 PackF32(std::span<const LinearPart> parts, kernels::Isa isa) {
  PackedF32 packed;
  packed.kernels = &kernels::GetGemmF32(isa);
  packed.k = parts[0].weight.shape()[0];
  packed.n = TotalColumns(parts);
  packed.bias = JoinBias(parts);
  const Tensor rows = JoinWeights(parts);
  packed.type = WeightTypeOf(rows.dtype());
  packed.weights = AlignedBytes(packed.kernels->packed_bytes(packed.k, packed.n, packed.type));
  packed.kernels->pack(
      packed.k, packed.n,
      {.data = rows.data(), .type = packed.type, .k_stride = rows.strides()[1], .n_stride = rows.strides()[0]},
      packed.weights.data());
  rows.ReleasePages();
  return packed;
}

}  // namespace laconic::runtime
