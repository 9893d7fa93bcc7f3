#include "kernels/embedding/embedding.h"
#include "kernels/weight_values.h"

namespace laconic::kernels {

void EmbeddingScalar(const EmbeddingArgs& args) noexcept {
  for (std::int64_t token = 0; token < args.tokens; ++token) {
    float* out = args.out + token * args.out_stride;
    for (std::int64_t t = 0; t < args.num_tables; ++t) {
      const EmbeddingTable& table = args.tables[t];
      const std::int64_t row = table.ids[token];
      const std::int64_t block = table.block == 0 ? args.cols : table.block;
      const std::int64_t num_blocks = (args.cols + block - 1) / block;
      for (std::int64_t c = 0; c < args.cols; ++c) {
        float value = WeightValue(table.data, table.type, row * table.row_stride + c);
        if (table.type == WeightType::kS8) {
          value *= table.scale[row * num_blocks + c / block];
        }
        out[c] = t == 0 ? value : out[c] + value;
      }
    }
  }
}

}  // namespace laconic::kernels
