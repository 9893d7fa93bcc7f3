// embedding for every vector level.
#pragma once

#include "kernels/embedding/embedding.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

// Writes the row to out, or adds it.
template <typename T>
inline void AddRow(const EmbeddingTable& table, std::int64_t row, bool first, std::int64_t cols, float* out) {
  const T* values = static_cast<const T*>(table.data) + row * table.row_stride;
  const Vec16 scale = Set1(table.type == WeightType::kS8 ? table.scale[row] : 1.0F);
  for (std::int64_t c = 0; c < cols; c += kLanes) {
    const Vec16 value = Mul(LoadPart(values + c, cols - c), scale);
    StorePart(out + c, first ? value : Add(LoadPart(out + c, cols - c), value), cols - c);
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
          AddRow<std::int8_t>(table, row, t == 0, args.cols, out);
          break;
      }
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
