#include "kernels/gemm_u8s8/gemm_u8s8.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include <gtest/gtest.h>

#include "kernels/amx_emulator.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/gemm_u8s8/avx2_panels.h"
#include "kernels/quantize_static/quantize_static.h"
#include "kernels/testing.h"
#include "quant/overflow.h"
#include "quant/weights.h"

namespace laconic::kernels {
namespace {

// One linear layer with every buffer ending at a guard page.
struct Problem {
  Problem(std::int64_t rows, std::int64_t columns, std::int64_t depth, std::mt19937& rng)
      : m(rows),
        n(columns),
        k(depth),
        a_stride(depth + 7),
        out_stride(columns + 3),
        a(StridedSize(rows, depth, depth + 7)),
        a_scale(rows),
        a_zero(rows),
        w(columns * depth),
        w_scale(columns),
        bias(columns),
        packed(GetGemmU8S8(ActiveIsa()).packed_bytes(depth, columns)),
        out(StridedSize(rows, columns, columns + 3)) {
    FillIntegers(a.span(), rng, 0, 255);
    FillIntegers(a_zero.span(), rng, 0, 255);
    FillIntegers(w.span(), rng, -127, 127);
    FillNormal(a_scale.span(), rng);
    FillNormal(w_scale.span(), rng);
    FillNormal(bias.span(), rng, 100);
    std::fill_n(out.data(), out.size(), kUntouched);
  }

  // The weights lie as [n, k].
  void Pack() { GetGemmU8S8(ActiveIsa()).pack(k, n, w.data(), 1, k, packed.data()); }

  GemmU8S8Args Args() {
    GemmU8S8Args args;
    args.m = m;
    args.n = n;
    args.k = k;
    args.a = a.data();
    args.a_stride = a_stride;
    args.a_scale = a_scale.data();
    args.a_zero = a_zero.data();
    args.packed = packed.data();
    args.w_scale = w_scale.data();
    args.bias = bias.data();
    args.out = out.data();
    args.out_stride = out_stride;
    args.n_end = n;
    return args;
  }

  float Definition(std::int64_t i, std::int64_t j, bool with_bias) {
    const auto depth = static_cast<std::size_t>(k);
    return quant::LinearU8S8({a.data() + i * a_stride, depth}, {a_scale[i], a_zero[i]}, {w.data() + j * k, depth},
                             w_scale[j], with_bias ? bias[j] : -0.0F);
  }

  // All outputs, and the gaps between the rows.
  void ExpectDefinition(bool with_bias = true) {
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        ASSERT_EQ(out[i * out_stride + j], Definition(i, j, with_bias))
            << m << "x" << n << "x" << k << " at " << i << ", " << j;
      }
      for (std::int64_t j = n; i + 1 < m && j < out_stride; ++j) {
        ASSERT_EQ(out[i * out_stride + j], kUntouched) << "gap after row " << i;
      }
    }
  }

  std::int64_t m, n, k, a_stride, out_stride;
  GuardedBuffer<std::uint8_t> a;
  GuardedBuffer<float> a_scale;
  GuardedBuffer<std::int32_t> a_zero;
  GuardedBuffer<std::int8_t> w;
  GuardedBuffer<float> w_scale;
  GuardedBuffer<float> bias;
  GuardedBuffer<std::byte> packed;
  GuardedBuffer<float> out;
};

TEST(GemmU8S8, RunsTheForcedLevel) {
  const Isa want = ActiveIsa() == Isa::kAvx512BF16 ? Isa::kAvx512Vnni : ActiveIsa();  // which adds nothing for integers
  EXPECT_EQ(GetGemmU8S8(ActiveIsa()).isa, want);
}

TEST(GemmU8S8, EqualsTheDefinitionBitForBit) {
  std::mt19937 rng(1);
  for (const std::int64_t k : {0, 1, 2, 3, 4, 5, 31, 63, 64, 65, 127, 130, 513, 1030}) {
    for (const std::int64_t n : {1, 2, 15, 16, 17, 33, 47, 48, 49, 64, 65, 128, 150}) {
      for (const std::int64_t m : {1, 3, 8, 13}) {
        Problem problem(m, n, k, rng);
        problem.Pack();
        GetGemmU8S8(ActiveIsa()).run(problem.Args());
        problem.ExpectDefinition();
      }
    }
  }
}

TEST(GemmU8S8, EveryNumberOfRows) {
  std::mt19937 rng(2);
  for (std::int64_t m = 0; m <= 70; ++m) {
    Problem problem(m, 50, 70, rng);
    problem.Pack();
    GetGemmU8S8(ActiveIsa()).run(problem.Args());
    problem.ExpectDefinition();
  }
}

TEST(GemmU8S8, SeveralChunksOfRows) {
  std::mt19937 rng(3);
  for (const auto& [m, n, k] : {std::array{301, 70, 3072}, std::array{401, 40, 1100}, std::array{1050, 40, 70}}) {
    Problem problem(m, n, k, rng);
    problem.Pack();
    GetGemmU8S8(ActiveIsa()).run(problem.Args());
    problem.ExpectDefinition();
  }
}

#if LACONIC_HAVE_AMX
TEST(GemmU8S8, TakesTheTilesThatItNeedsAndReleasesThem) {
  if (ActiveIsa() != Isa::kAmx) {
    GTEST_SKIP() << "a level without tiles";
  }
  std::mt19937 rng(11);
  // Rows, k, loads of codes, of weights and sums, stores of sums, for 2 panels: of 16 rows, 64 of k, 2 x 16 columns.
  for (const auto& [m, k, codes, others, stores] :
       {std::array{5, 64, 2, 4, 4},                                                // one tile of rows
        std::array{128, 128, 2 * 2 * 8, 2 * 2 * (4 + 4 + 2), 2 * 2 * 8},           // in blocks of 3, 3 and 2
        std::array{48, 3072, 2 * 48 * 3, 2 * 48 * 4, 2 * 2 * 3},                   // one block: k at once
        std::array{64, 1536, 2 * 24 * 4, 2 * (24 * 4 + 2 * 4), 2 * 2 * 2 * 4}}) {  // two blocks: k in two parts
    Problem problem(m, 64, k, rng);
    problem.Pack();
    const AmxCounts before = EmulatedAmx();
    GetGemmU8S8(ActiveIsa()).run(problem.Args());
    const AmxCounts after = EmulatedAmx();
    EXPECT_FALSE(TilesConfigured());
    problem.ExpectDefinition();
    if (ProvideAmx() == AmxSource::kEmulator) {
      const std::int64_t row_tiles = (m + 15) / 16;
      EXPECT_EQ(after.configurations - before.configurations, 1);
      EXPECT_EQ(after.products - before.products, row_tiles * 4 * (k / 64)) << m << ' ' << k;
      EXPECT_EQ(after.stream_loads - before.stream_loads, codes) << m << ' ' << k;
      EXPECT_EQ(after.loads - before.loads, others) << m << ' ' << k;
      EXPECT_EQ(after.stores - before.stores, stores) << m << ' ' << k;
    }
  }
}
#endif

TEST(GemmU8S8, ExtremesDoNotSaturateOrOverflow) {
  std::mt19937 rng(4);
  for (const int weight : {-128, -127, 127}) {
    Problem problem(2, 3, kMaxGemmU8S8K, rng);
    std::fill_n(problem.a.data(), problem.a.size(), std::uint8_t{255});
    std::fill_n(problem.w.data(), problem.w.size(), static_cast<std::int8_t>(weight));
    std::fill_n(problem.a_zero.data(), 2, 0);
    problem.Pack();
    GetGemmU8S8(ActiveIsa()).run(problem.Args());
    problem.ExpectDefinition();
  }
}

using WeightPairs = std::span<const std::array<int, 2>>;

// Of the pairs of weights that meet two codes of one step, `percent` become one of `pairs`.
void PutPairs(WeightPairs pairs, int percent, std::mt19937& rng, Problem* problem) {
  for (std::int64_t j = 0; j < problem->n; ++j) {
    for (std::int64_t p = 0; p + 1 < problem->k; p += 2) {
      if (static_cast<int>(rng() % 100) < percent) {
        const auto& [first, second] = pairs[rng() % pairs.size()];
        problem->w[j * problem->k + p] = static_cast<std::int8_t>(first);
        problem->w[j * problem->k + p + 1] = static_cast<std::int8_t>(second);
      }
    }
  }
}

// `pairs` among weights up to `most`, and codes that are mostly 255.
void ExpectDefinitionWith(WeightPairs pairs, int most, std::mt19937& rng) {
  for (const std::int64_t k : {4, 6, 64, 131, 768}) {
    for (const int percent : {0, 2, 50}) {
      Problem problem(7, 50, k, rng);
      FillIntegers(problem.w.span(), rng, -most, most);
      PutPairs(pairs, percent, rng, &problem);
      for (std::uint8_t& code : problem.a.span()) {
        code = rng() % 3 == 0 ? code : rng() % 8 == 0 ? 0 : 255;
      }
      problem.Pack();
      GetGemmU8S8(ActiveIsa()).run(problem.Args());
      problem.ExpectDefinition();
    }
  }
}

// Sums at s16's ends or past them among weights that stay far from there: what AVX2 sorts.
TEST(GemmU8S8, SumsOfTwoProductsAroundTheEndsOfS16) {
  constexpr std::array<int, 2> kPairs[] = {{64, 64},  {64, 65},   {127, 1},  {2, 127},    {-64, -64}, {-64, -65},
                                           {-128, 0}, {-1, -128}, {-127, 2}, {127, -128}, {127, 127}, {-128, -128}};
  std::mt19937 rng(11);
  ExpectDefinitionWith(kPairs, 60, rng);
}

TEST(GemmU8S8, SumsOfFourProductsAroundTheEndsOfS16) {
  constexpr std::array<int, 2> kPairs[] = {{32, 32},   {32, 33},   {64, 0},  {65, -1},
                                           {-32, -32}, {-33, -32}, {0, -64}, {1, -65}};
  std::mt19937 rng(15);
  ExpectDefinitionWith(kPairs, 8, rng);
}

#if LACONIC_HAVE_AVX2
TEST(GemmU8S8, Avx2SortsGroupsByHowTheyMayBeMultiplied) {
  if (ActiveIsa() != Isa::kAvx2) {
    GTEST_SKIP() << "a level that sorts nothing";
  }
  struct Case {
    int most;  // weights lie in -most..most
    std::int64_t joint, safe;
  };
  // 70 of k: 17 groups and 2 more. Four times 32 fit, two times 64; pairs of 127 do not.
  for (const auto& [most, joint, safe] : {Case{32, 16, 17}, Case{64, 0, 17}, Case{127, 0, 0}}) {
    std::mt19937 rng(16);
    Problem problem(1, 16, 70, rng);
    std::ranges::fill(problem.w.span(), static_cast<std::int8_t>(most));
    problem.Pack();
    const Avx2Panel panel = PanelAt(problem.packed.data(), 70, 16, 0);
    EXPECT_EQ(panel.num_joint, joint) << most;
    EXPECT_EQ(panel.num_safe, safe) << most;
  }
}
#endif

// A file of packed weights may have been tampered with: sums may be any, but no byte outside the rows is read.
TEST(GemmU8S8, PackedBytesOfAnyKindStayWithinTheRows) {
  std::mt19937 rng(12);
  for (const std::int64_t k : {1, 3, 4, 70}) {
    Problem problem(7, 50, k, rng);
    FillIntegers(std::span(reinterpret_cast<std::uint8_t*>(problem.packed.data()), problem.packed.span().size()), rng,
                 0, 255);
    GetGemmU8S8(ActiveIsa()).run(problem.Args());
  }
}

TEST(GemmU8S8, WeightsOfAnyStrides) {
  std::mt19937 rng(5);
  const std::int64_t n = 50;
  const std::int64_t k = 70;
  Problem problem(4, n, k, rng);
  std::vector<std::int8_t> transposed(static_cast<std::size_t>(k * (n + 2)), 99);  // [k, n], rows n + 2 apart
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t p = 0; p < k; ++p) {
      transposed[static_cast<std::size_t>(p * (n + 2) + j)] = problem.w[j * k + p];
    }
  }
  GetGemmU8S8(ActiveIsa()).pack(k, n, transposed.data(), n + 2, 1, problem.packed.data());
  GetGemmU8S8(ActiveIsa()).run(problem.Args());
  problem.ExpectDefinition();
}

TEST(GemmU8S8, RowsOfOneScaleButThoseThatAreNaN) {
  std::mt19937 rng(14);
  for (const auto& [m, n, k] : {std::array{9, 50, 70}, std::array{16, 96, 130}, std::array{3, 33, 5}}) {
    Problem problem(m, n, k, rng);
    problem.Pack();
    problem.a_scale[1] = NAN;
    GemmU8S8Args args = problem.Args();
    args.a_is_static = true;
    args.a_static_scale = 0.037F;
    args.a_static_zero = 131;
    GetGemmU8S8(ActiveIsa()).run(args);
    for (std::int64_t i = 0; i < m; ++i) {
      const std::span<const std::uint8_t> row(problem.a.data() + i * problem.a_stride, static_cast<std::size_t>(k));
      for (std::int64_t j = 0; j < n; ++j) {
        const float got = problem.out[i * problem.out_stride + j];
        if (i == 1) {
          ASSERT_TRUE(std::isnan(got)) << j;
          continue;
        }
        ASSERT_EQ(got, quant::StaticLinearU8S8(row, {0.037F, 131}, {problem.w.data() + j * k, row.size()},
                                               problem.w_scale[j], problem.bias[j]))
            << i << ", " << j;
      }
    }
  }
}

TEST(GemmU8S8, WithoutBias) {
  std::mt19937 rng(6);
  Problem problem(5, 50, 70, rng);
  problem.Pack();
  GemmU8S8Args args = problem.Args();
  args.bias = nullptr;
  GetGemmU8S8(ActiveIsa()).run(args);
  problem.ExpectDefinition(false);
}

TEST(GemmU8S8, SplitsGiveTheSameBitsAndStayInTheirColumns) {
  std::mt19937 rng(7);
  for (const std::int64_t n : {40, 150, 192, 256}) {
    Problem problem(21, n, 130, rng);
    problem.Pack();
    const std::int64_t panel = GetGemmU8S8(ActiveIsa()).panel_columns(n);
    const std::int64_t middle = std::min(n, (n / panel + 1) / 2 * panel);
    GemmU8S8Args args = problem.Args();
    args.n_end = middle;
    GetGemmU8S8(ActiveIsa()).run(args);
    for (std::int64_t i = 0; i < 21 && middle < n; ++i) {
      ASSERT_EQ(problem.out[i * problem.out_stride + middle], kUntouched);
    }
    args.n_begin = middle;
    args.n_end = n;
    args.m = 10;
    GetGemmU8S8(ActiveIsa()).run(args);
    args.m = 11;
    args.a += 10 * args.a_stride;
    args.a_scale += 10;
    args.a_zero += 10;
    args.out += 10 * args.out_stride;
    GetGemmU8S8(ActiveIsa()).run(args);
    problem.ExpectDefinition();
  }
}

TEST(GemmU8S8, ActivationsEqualElementwiseBitForBit) {
  std::mt19937 rng(8);
  for (const Activation activation :
       {Activation::kGeluErf, Activation::kGeluTanh, Activation::kRelu, Activation::kTanh}) {
    Problem problem(9, 70, 33, rng);
    std::fill_n(problem.a_scale.data(), 9, 1e-3F);
    std::fill_n(problem.w_scale.data(), 70, 1e-2F);
    FillNormal(problem.bias.span(), rng);
    problem.Pack();
    GemmU8S8Args args = problem.Args();
    GetGemmU8S8(ActiveIsa()).run(args);
    std::vector<float> want = problem.out.values();
    for (std::int64_t i = 0; i < 9; ++i) {
      float* row = want.data() + i * problem.out_stride;
      GetElementwise(ActiveIsa()).activate(activation, 70, row, row);
    }
    args.activation = activation;
    GetGemmU8S8(ActiveIsa()).run(args);
    EXPECT_TRUE(SameBits(problem.out.span(), want)) << static_cast<int>(activation);
  }
}

// The codes of what is written without them, in rows whose ends and gaps stay untouched.
TEST(GemmU8S8, CodesEqualQuantizeStaticBitForBit) {
  constexpr std::uint8_t kGap = 201;
  std::mt19937 rng(10);
  for (const std::int64_t n : {1, 15, 16, 31, 48, 70, 150}) {
    for (const std::int64_t m : {1, 5, 9, 33}) {
      Problem problem(m, n, 65, rng);
      FillNormal(problem.w_scale.span(), rng, 1e-3F);
      FillNormal(problem.bias.span(), rng);
      problem.Pack();
      GemmU8S8Args args = problem.Args();
      args.activation = n % 2 == 0 ? Activation::kGeluErf : Activation::kNone;
      GetGemmU8S8(ActiveIsa()).run(args);
      const std::int64_t q_stride = n + 5;
      GuardedBuffer<std::uint8_t> q(StridedSize(m, n, q_stride));
      std::fill_n(q.data(), q.size(), kGap);
      std::vector<std::uint8_t> want = q.values();
      GuardedBuffer<float> multiplier(n);
      FillNormal(multiplier.span(), rng);
      args.q = q.data();
      args.q_stride = q_stride;
      args.q_multiplier = m % 3 == 0 ? multiplier.data() : nullptr;
      args.q_scale = 0.0214854861F;
      args.q_zero = 77;
      std::vector<float> row_scale(static_cast<std::size_t>(m));
      std::vector<std::int32_t> row_zero(row_scale.size());
      GetQuantizeStatic(ActiveIsa())
          .run({m, n, problem.out.data(), problem.out_stride, args.q_multiplier, args.q_scale, args.q_zero, want.data(),
                q_stride, row_scale.data(), row_zero.data()});
      args.out = nullptr;
      GetGemmU8S8(ActiveIsa()).run(args);
      EXPECT_EQ(q.values(), want) << m << "x" << n;
    }
  }
}

TEST(GemmU8S8, SaturatesAsDefined) {
  std::mt19937 rng(9);
  const GemmU8S8Kernels& kernels = GetSaturatingGemmU8S8();
  for (const std::int64_t k : {1, 2, 33, 130}) {
    Problem problem(7, 50, k, rng);
    std::vector<std::byte> bytes(static_cast<std::size_t>(kernels.packed_bytes(k, 50)) + 64);
    void* packed = bytes.data();
    std::size_t space = bytes.size();
    ASSERT_NE(std::align(64, space - 64, packed, space), nullptr);
    kernels.pack(k, 50, problem.w.data(), 1, k, packed);
    GemmU8S8Args args = problem.Args();
    args.packed = packed;
    kernels.run(args);
    for (std::int64_t i = 0; i < 7; ++i) {
      for (std::int64_t j = 0; j < 50; ++j) {
        const std::span<const std::int8_t> w(problem.w.data() + j * k, static_cast<std::size_t>(k));
        const std::int32_t sum = quant::DotSaturated({problem.a.data() + i * problem.a_stride, w.size()}, w);
        std::int32_t total = 0;
        for (const std::int8_t code : w) {
          total += code;
        }
        const auto bracket = static_cast<float>(sum - problem.a_zero[i] * total);
        const float want = bracket * problem.a_scale[i] * problem.w_scale[j] + problem.bias[j];
        EXPECT_EQ(problem.out[i * problem.out_stride + j], want) << k << ' ' << i << ' ' << j;
      }
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
