#include "kernels/embedding/embedding.h"

#include <algorithm>
#include <span>
#include <string>

#include <gtest/gtest.h>

#include "kernels/testing.h"
#include "tensor/dtype.h"

namespace laconic::kernels {
namespace {

constexpr std::int64_t kTableRows = 11;
constexpr std::int64_t kTokens = 5;

// A table of each type with the same layout; value() is what a row holds, by the conversions of tensor/.
struct Table {
  Table(WeightType weight_type, std::int64_t cols, std::int64_t block_columns, std::mt19937& rng)
      : type(weight_type),
        stride(cols + 2),
        block(block_columns),
        num_blocks(block_columns == 0 ? 1 : (cols + block_columns - 1) / block_columns),
        floats(StridedSize(kTableRows, cols, stride)),
        words(floats.size()),
        codes(floats.size()),
        scale(kTableRows * num_blocks),
        ids(kTokens) {
    FillNormal(floats.span(), rng);
    FillNormal(scale.span(), rng);
    FillIntegers(codes.span(), rng, -127, 127);
    FillIntegers(ids.span(), rng, 0, kTableRows - 1);
    ids[0] = kTableRows - 1;  // the row that ends at the guard page
    for (std::int64_t i = 0; i < floats.size(); ++i) {
      words[i] = type == WeightType::kF16 ? FloatToHalf(floats[i]) : FloatToBFloat16(floats[i]);
    }
  }

  EmbeddingTable View() {
    const void* data = type == WeightType::kF32  ? static_cast<const void*>(floats.data())
                       : type == WeightType::kS8 ? static_cast<const void*>(codes.data())
                                                 : words.data();
    return {data, type, stride, scale.data(), block, ids.data()};
  }

  float Value(std::int64_t token, std::int64_t c) {
    const std::int64_t at = ids[token] * stride + c;
    switch (type) {
      case WeightType::kF32:
        return floats[at];
      case WeightType::kF16:
        return HalfToFloat(words[at]);
      case WeightType::kBF16:
        return BFloat16ToFloat(words[at]);
      case WeightType::kS8:
        return static_cast<float>(codes[at]) * scale[ids[token] * num_blocks + (block == 0 ? 0 : c / block)];
    }
    return 0;
  }

  WeightType type;
  std::int64_t stride;
  std::int64_t block;
  std::int64_t num_blocks;
  GuardedBuffer<float> floats;
  GuardedBuffer<std::uint16_t> words;
  GuardedBuffer<std::int8_t> codes;
  GuardedBuffer<float> scale;
  GuardedBuffer<std::int64_t> ids;
};

TEST(Embedding, RunsTheForcedLevel) { EXPECT_EQ(GetEmbedding(ActiveIsa()).isa, ExpectedLevel(Isa::kAvx512Vnni)); }

// The tables' sum in their order in each place, and nothing between the rows.
void ExpectSums(std::span<Table> tables, std::int64_t cols) {
  const std::int64_t stride = cols + 1;
  GuardedBuffer<float> out(StridedSize(kTokens, cols, stride));
  std::fill_n(out.data(), out.size(), kUntouched);
  EmbeddingArgs args = {kTokens, cols, static_cast<std::int64_t>(tables.size()), {}, out.data(), stride};
  std::ranges::transform(tables, args.tables, &Table::View);
  GetEmbedding(ActiveIsa()).run(args);
  for (std::int64_t i = 0; i < out.size(); ++i) {
    const std::int64_t token = i / stride;
    const std::int64_t c = i % stride;
    float want = c < cols ? tables[0].Value(token, c) : kUntouched;
    for (std::size_t t = 1; t < tables.size() && c < cols; ++t) {
      want += tables[t].Value(token, c);
    }
    ASSERT_EQ(out[i], want) << "token " << token << " column " << c;
  }
}

TEST(Embedding, SumsInTheOrderOfTheTables) {
  std::mt19937 rng(1);
  for (const std::int64_t cols : {1, 15, 16, 17, 48, 100, 384}) {
    for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16, WeightType::kS8}) {
      for (std::size_t num_tables = 1; num_tables <= kMaxEmbeddingTables; ++num_tables) {
        SCOPED_TRACE("type " + std::to_string(static_cast<int>(type)) + ", tables " + std::to_string(num_tables));
        Table tables[] = {{type, cols, 0, rng},
                          {WeightType::kS8, cols, num_tables == 2 ? 16 : 32, rng},
                          {WeightType::kS8, cols, 0, rng}};
        ExpectSums(std::span(tables).first(num_tables), cols);
      }
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
