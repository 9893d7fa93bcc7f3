// embedding for every vector level.
#pragma once

#include "kernels/embedding/embedding.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

// Writes the values times scale to out, or adds them.
template <typename T>
inline void AddScaled(const T* values, float scale, bool first, std::int64_t cols, float* out) {
  const Vec16 factor = Set1(scale);
  for (std::int64_t c = 0; c < cols; c += kLanes) {
    const Vec16 value = Mul(LoadPart(values + c, cols - c), factor);
    StorePart(out + c, first ? value : Add(LoadPart(out + c, cols - c), value), cols - c);
  }
}

template <typename T>
inline void AddRow(const EmbeddingTable& table, std::int64_t row, bool first, std::int64_t cols, float* out) {
  AddScaled(static_cast<const T*>(table.data) + row * table.row_stride, 1.0F, first, cols, out);
}

inline void AddCodes(const EmbeddingTable& table, std::int64_t row, bool first, std::int64_t cols, float* out) {
  const auto* codes = static_cast<const std::int8_t*>(table.data) + row * table.row_stride;
  const std::int64_t block = table.block == 0 ? cols : table.block;
  const float* scale = table.scale + row * ((cols + block - 1) / block);
  for (std::int64_t c = 0; c < cols; c += block) {
    AddScaled(codes + c, *scale++, first, cols - c < block ? cols - c : block, out + c);
  }
}

inline void Embed(const EmbeddingArgs& args) {
  for (std::int64_t token = 0; token < args.tokens; ++token) {
    float* out = args.out + token * args.out_stride;
    for (std::int64_t t = 0; t < args.num_tables; ++t) {
      const EmbeddingTable& table = args.tables[t];
      const std::int64_t row = table.ids[token];
      switch (table.type) {
        case WeightType::kF32:
          AddRow<float>(table, row, t == 0, args.cols, out);
          break;
        case WeightType::kF16:
          AddRow<Half>(table, row, t == 0, args.cols, out);
          break;
        case WeightType::kBF16:
          AddRow<BFloat16>(table, row, t == 0, args.cols, out);
          break;
        case WeightType::kS8:
          AddCodes(table, row, t == 0, args.cols, out);
          break;
      }
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
