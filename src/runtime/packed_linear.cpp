#include "runtime/packed_linear.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/aligned_bytes.h"
#include "base/sha256.h"
#include "laconic/error.h"
#include "laconic/version.h"

namespace laconic::runtime {
namespace {

std::int64_t TotalColumns(std::span<const LinearPart> parts) {
  std::int64_t n = 0;
  for (const LinearPart& part : parts) {
    n += part.weight.shape()[1];
  }
  return n;
}

// Of output channel n: a [n] tensor's or a scalar's element; `otherwise` where there is none.
template <typename T, typename To>
To ElementOf(const Tensor& tensor, std::int64_t n, To otherwise) {
  if (tensor.num_elements() == 0) {
    return otherwise;
  }
  return static_cast<To>(tensor.values<T>()[tensor.num_elements() == 1 ? 0U : static_cast<std::size_t>(n)]);
}

int ZeroPointOf(const LinearPart& part, std::int64_t n) {
  return part.weight.dtype() == DType::kS8 ? ElementOf<std::int8_t>(part.zero_point, n, 0)
                                           : ElementOf<std::uint8_t>(part.zero_point, n, 0);
}

float ScaleOf(const LinearPart& part, std::int64_t n) { return ElementOf<float>(part.scale, n, 1.0F); }

bool HasZeroPoints(const LinearPart& part) {
  const std::int64_t n = part.weight.shape()[1];
  for (std::int64_t i = 0; i < n; ++i) {
    if (ZeroPointOf(part, i) != 0) {
      return true;
    }
  }
  return false;
}

// Calls visit(n, code - zero point) for all codes, output channel by output channel.
template <typename T, typename Visit>
void VisitTyped(const LinearPart& part, const Visit& visit) {
  const Tensor rows = part.weight.Transposed().Contiguous();
  const std::span<const T> codes = rows.values<T>();
  const std::int64_t k = rows.shape()[1];
  for (std::int64_t n = 0; n < rows.shape()[0]; ++n) {
    const int zero_point = ZeroPointOf(part, n);
    for (const T code : codes.subspan(static_cast<std::size_t>(n * k), static_cast<std::size_t>(k))) {
      visit(n, code - zero_point);
    }
  }
}

template <typename Visit>
void VisitCentred(const LinearPart& part, const Visit& visit) {
  if (part.weight.dtype() == DType::kS8) {
    VisitTyped<std::int8_t>(part, visit);
  } else {
    VisitTyped<std::uint8_t>(part, visit);
  }
}

// The part's codes less their zero points, in s8. Precondition: FitsS8.
Tensor CentredS8(const LinearPart& part) {
  if (part.weight.dtype() != DType::kU8 && !HasZeroPoints(part)) {
    return part.weight;
  }
  const Shape& shape = part.weight.shape();
  const Tensor centred = Tensor::Make(DType::kS8, {shape[1], shape[0]}, [&](std::byte* data) {
    auto* out = reinterpret_cast<std::int8_t*>(data);
    VisitCentred(part, [&](std::int64_t, int code) { *out++ = static_cast<std::int8_t>(code); });
  });
  part.weight.ReleasePages();
  return centred.Transposed();
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

// [k, n], row-major: row by row of each part.
Tensor JoinRows(std::span<const LinearPart> parts, std::int64_t k, std::int64_t n) {
  const DType dtype = parts[0].weight.dtype();
  return Tensor::Make(dtype, {k, n}, [&](std::byte* data) {
    for (const LinearPart& part : parts) {
      const Tensor weight = part.weight.Contiguous();
      const std::int64_t row_bytes = weight.shape()[1] * SizeOf(dtype);
      for (std::int64_t p = 0; p < k; ++p) {
        std::memcpy(data + p * n * SizeOf(dtype), weight.data() + p * row_bytes, static_cast<std::size_t>(row_bytes));
      }
      data += row_bytes;
      part.weight.ReleasePages();
    }
  });
}

// [n, k], row-major: the parts' rows, which are output channels, one after another.
Tensor JoinChannels(std::span<const LinearPart> parts, std::int64_t k, std::int64_t n) {
  return Tensor::Make(parts[0].weight.dtype(), {n, k}, [&](std::byte* data) {
    for (const LinearPart& part : parts) {
      const Tensor channels = part.weight.Transposed().Contiguous();
      std::memcpy(data, channels.data(), static_cast<std::size_t>(channels.size_bytes()));
      data += channels.size_bytes();
      part.weight.ReleasePages();
    }
  });
}

// The weights side by side, as [k, n]: for one part the view that there is, else a copy in the first one's layout.
Tensor JoinWeights(std::span<const LinearPart> parts) {
  const Tensor& first = parts[0].weight;
  if (parts.size() == 1) {
    return first;
  }
  const std::int64_t k = first.shape()[0];
  const std::int64_t n = TotalColumns(parts);
  return first.is_contiguous() ? JoinRows(parts, k, n) : JoinChannels(parts, k, n).Transposed();
}

template <typename Packed>
void PackFloats(std::span<const LinearPart> parts, const Packed& packed, std::byte* out) {
  const Tensor weights = JoinWeights(parts);
  packed.kernels->pack(packed.k, packed.n,
                       {.data = weights.data(),
                        .type = WeightTypeOf(weights.dtype()),
                        .k_stride = weights.strides()[0],
                        .n_stride = weights.strides()[1]},
                       out);
  weights.ReleasePages();
}

std::int64_t BytesOf(const std::vector<float>& values) {
  return static_cast<std::int64_t>(values.size() * sizeof(float));
}

// --- what packed weights are known by -------------------------------------------------------------------------------

std::span<const std::byte> BytesOf(const Tensor& tensor) {
  return {tensor.data(), static_cast<std::size_t>(tensor.size_bytes())};
}

// Of a small tensor all bytes; of a larger one pieces at even distances, which no training or quantizing leaves alike.
std::string Fingerprint(std::span<const std::byte> bytes) {
  constexpr std::size_t kPiece = 64;
  constexpr std::size_t kPieces = 8;
  if (bytes.size() <= 1U << 16) {
    return Sha256Hex(bytes);
  }
  std::vector<std::byte> pieces;
  for (std::size_t i = 0; i < kPieces; ++i) {
    const std::span<const std::byte> piece = bytes.subspan((bytes.size() - kPiece) / (kPieces - 1) * i, kPiece);
    pieces.insert(pieces.end(), piece.begin(), piece.end());
  }
  return Sha256Hex(pieces);
}

// A new version may lay weights out anew: the bytes of a small matrix say how, with the width of a layer's panels.
constexpr std::int64_t kProbeK = 20;
constexpr std::int64_t kProbeN = 40;

template <typename Pack>
std::string LayoutBy(std::string_view name, std::int64_t packed_bytes, const Pack& pack) {
  std::array<std::byte, kProbeK * kProbeN * sizeof(float)> probe;
  for (std::size_t i = 0; i < probe.size(); ++i) {
    probe[i] = static_cast<std::byte>(i * 37 % 251);
  }
  const AlignedBytes packed(packed_bytes);
  const std::span bytes(packed.data(), static_cast<std::size_t>(packed_bytes));
  std::ranges::fill(bytes, std::byte{0});
  pack(probe.data(), packed.data());
  return std::string(name) + Sha256Hex(bytes);
}

std::string LayoutOf(const kernels::GemmU8S8Kernels& kernels) {
  return LayoutBy("u8s8 ", kernels.packed_bytes(kProbeK, kProbeN), [&](const std::byte* probe, std::byte* out) {
    kernels.pack(kProbeK, kProbeN, reinterpret_cast<const std::int8_t*>(probe), kProbeN, 1, out);
  });
}

kernels::FloatWeights ProbeOf(const std::byte* probe, kernels::WeightType type) {
  return {.data = probe, .type = type, .k_stride = kProbeN, .n_stride = 1};
}

std::string LayoutOf(const kernels::GemmF32Kernels& kernels, kernels::WeightType type) {
  return LayoutBy("f32 ", kernels.packed_bytes(kProbeK, kProbeN, type), [&](const std::byte* probe, std::byte* out) {
    kernels.pack(kProbeK, kProbeN, ProbeOf(probe, type), out);
  });
}

std::string LayoutOf(const kernels::GemmBF16Kernels& kernels, kernels::WeightType type) {
  return LayoutBy("bf16 ", kernels.packed_bytes(kProbeK, kProbeN), [&](const std::byte* probe, std::byte* out) {
    kernels.pack(kProbeK, kProbeN, ProbeOf(probe, type), out);
  });
}

// What a part's packed form is made of (scales are none of it); empty where its weight is no dense view of a mapped
// file.
std::string SourceOf(const LinearPart& part) {
  const Tensor& weight = part.weight;
  const MappedFile* file = weight.mapped_file();
  if (file == nullptr || !(weight.is_contiguous() || weight.Transposed().is_contiguous())) {
    return {};
  }
  const std::string fingerprint = Fingerprint(BytesOf(weight));
  weight.ReleasePages();
  return fmt::format("{} {} {} of {} bytes at {}, from {}: {} {}; ", ToString(weight.dtype()),
                     laconic::ToString(weight.shape()), laconic::ToString(weight.strides()), file->bytes().size(),
                     file->modified_s(), weight.data() - file->bytes().data(), fingerprint,
                     Sha256Hex(BytesOf(part.zero_point.Contiguous())));
}

// A digest of all that the packed bytes depend on; empty where a file could not hold them.
template <typename Layout>
std::string KeyOf(std::span<const LinearPart> parts, const Layout& layout) {
  std::string sources;
  for (const LinearPart& part : parts) {
    const std::string source = SourceOf(part);
    if (source.empty()) {
      return {};
    }
    sources += source;
  }
  sources += layout();
  return Sha256Hex(std::as_bytes(std::span(sources)));
}

// --- what all packed layers have ------------------------------------------------------------------------------------

// All but the weights.
template <typename Packed, typename Kernels>
Packed MakePacked(std::span<const LinearPart> parts, const Kernels& kernels) {
  Packed packed;
  packed.kernels = &kernels;
  packed.k = parts[0].weight.shape()[0];
  packed.n = TotalColumns(parts);
  packed.bias = JoinBias(parts);
  return packed;
}

// The weights, `size_bytes` that `fill` writes where `store` has none.
template <typename Packed, typename Layout, typename Fill>
void FindOrPack(std::span<const LinearPart> parts, std::int64_t size_bytes, const Layout& layout, const Fill& fill,
                PackStore* store, Packed* packed) {
  bool is_new = false;
  const auto whole_layout = [&] {
    return fmt::format("{} {} columns a panel, {}", layout(), packed->kernels->panel_columns(packed->n), kVersion);
  };
  packed->weights = store->FindOrMake(KeyOf(parts, whole_layout), size_bytes, fill, &is_new);
  packed->own_bytes = BytesOf(packed->bias) + (is_new ? packed->weights.size_bytes : 0);
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

bool FitsS8(const LinearPart& part) {
  if (!part.has_codes()) {
    return false;
  }
  const bool is_signed = part.weight.dtype() == DType::kS8;
  if (is_signed && !HasZeroPoints(part)) {
    return true;
  }
  bool fits = true;
  VisitCentred(part, [&](std::int64_t, int code) { fits = fits && code >= -128 && code <= 127; });
  return fits;
}

LinearPart Dequantized(const LinearPart& part) {
  const Shape& shape = part.weight.shape();
  const Tensor weight = Tensor::Make(DType::kF32, {shape[1], shape[0]}, [&](std::byte* data) {
    auto* out = reinterpret_cast<float*>(data);
    VisitCentred(part, [&](std::int64_t n, int code) { *out++ = static_cast<float>(code) * ScaleOf(part, n); });
  });
  part.weight.ReleasePages();
  return {weight.Transposed(), {}, {}, part.bias};
}

PackedS8 PackS8(std::span<const LinearPart> parts, const kernels::GemmU8S8Kernels& kernels, PackStore* store) {
  auto packed = MakePacked<PackedS8>(parts, kernels);
  if (packed.k > laconic::kernels::kMaxGemmU8S8K) {
    Fail(ErrorCode::kUnsupported, "an INT8 layer of ", packed.k, " inputs; s32 sums are exact up to ",
         laconic::kernels::kMaxGemmU8S8K);
  }
  for (const LinearPart& part : parts) {
    for (std::int64_t n = 0; n < part.weight.shape()[1]; ++n) {
      packed.scale.push_back(ScaleOf(part, n));
    }
  }
  const auto fill = [&](std::byte* out) {
    std::vector<LinearPart> centred(parts.begin(), parts.end());
    for (LinearPart& part : centred) {
      part.weight = CentredS8(part);
    }
    const Tensor weights = JoinWeights(centred);
    kernels.pack(packed.k, packed.n, weights.data_as<std::int8_t>(), weights.strides()[0], weights.strides()[1], out);
    weights.ReleasePages();
  };
  const auto layout = [&] { return LayoutOf(kernels); };
  FindOrPack(parts, kernels.packed_bytes(packed.k, packed.n), layout, fill, store, &packed);
  packed.own_bytes += BytesOf(packed.scale);
  return packed;
}

PackedF32 PackF32(std::span<const LinearPart> parts, kernels::Isa isa, PackStore* store) {
  const kernels::GemmF32Kernels& kernels = kernels::GetGemmF32(isa);
  auto packed = MakePacked<PackedF32>(parts, kernels);
  packed.type = WeightTypeOf(parts[0].weight.dtype());
  const auto fill = [&](std::byte* out) { PackFloats(parts, packed, out); };
  const auto layout = [&] { return LayoutOf(kernels, packed.type); };
  FindOrPack(parts, kernels.packed_bytes(packed.k, packed.n, packed.type), layout, fill, store, &packed);
  return packed;
}

PackedBF16 PackBF16(std::span<const LinearPart> parts, kernels::Isa isa, PackStore* store) {
  const kernels::GemmBF16Kernels& kernels = kernels::GetGemmBF16(isa);
  auto packed = MakePacked<PackedBF16>(parts, kernels);
  const auto fill = [&](std::byte* out) { PackFloats(parts, packed, out); };
  const auto layout = [&] { return LayoutOf(kernels, WeightTypeOf(parts[0].weight.dtype())); };
  FindOrPack(parts, kernels.packed_bytes(packed.k, packed.n), layout, fill, store, &packed);
  return packed;
}

}  // namespace laconic::runtime
