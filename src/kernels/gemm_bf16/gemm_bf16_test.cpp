#include "kernels/gemm_bf16/gemm_bf16.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/amx_emulator.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/testing.h"
#include "kernels/weight_values.h"
#include "tensor/dtype.h"

namespace laconic::kernels {
namespace {

constexpr std::uint16_t kUntouchedWord = 0xBEEF;

std::int64_t Even(std::int64_t n) { return n + n % 2; }

float Flush(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x; }
float FlushedValue(std::uint16_t word) { return Flush(BFloat16ToFloat(word)); }

// One linear layer with every buffer ending at a guard page; the weights as they are given, [n, k].
struct Problem {
  Problem(std::int64_t rows, std::int64_t columns, std::int64_t depth, WeightType weight_type, std::mt19937& rng)
      : m(rows),
        n(columns),
        k(depth),
        type(weight_type),
        a_stride(Even(depth) + 6),
        out_stride(Even(columns) + 4),
        x(StridedSize(rows, depth, depth + 3)),
        a(StridedSize(rows, Even(depth), a_stride)),
        w(columns * depth),
        words(columns * depth),
        bias(columns),
        out(StridedSize(rows, columns, out_stride)),
        rounded(StridedSize(rows, Even(columns), out_stride)) {
    FillNormal(x.span(), rng);
    FillNormal(w.span(), rng);
    FillNormal(bias.span(), rng);
    for (std::int64_t i = 0; i < w.size() && type != WeightType::kF32; ++i) {
      words[i] = type == WeightType::kF16 ? FloatToHalf(w[i]) : FloatToBFloat16(w[i]);
      w[i] = type == WeightType::kF16 ? HalfToFloat(words[i]) : BFloat16ToFloat(words[i]);
    }
    std::fill_n(out.data(), out.size(), kUntouched);
    std::fill_n(rounded.data(), rounded.size(), kUntouchedWord);
    std::fill_n(a.data(), a.size(), kUntouchedWord);
    GetGemmBF16(ActiveIsa()).round_rows({m, k, x.data(), k + 3, a.data(), a_stride});
  }

  FloatWeights Weights() {
    return {type == WeightType::kF32 ? static_cast<const void*>(w.data()) : words.data(), type, 1, k};
  }

  GemmBF16Args Args(const void* packed) {
    return {.m = m,
            .n = n,
            .k = k,
            .a = a.data(),
            .a_stride = a_stride,
            .packed = packed,
            .bias = bias.data(),
            .out = out.data(),
            .out_stride = out_stride,
            .n_end = n};
  }

  void Run(Isa isa) {
    GuardedBuffer<std::byte> packed(GetGemmBF16(isa).packed_bytes(k, n));
    GetGemmBF16(isa).pack(k, n, Weights(), packed.data());
    GetGemmBF16(isa).run(Args(packed.data()));
  }

  // The sum as tdpbf16ps makes it.
  float TileSum(std::int64_t i, std::int64_t j) {
    float sum = 0;
    for (std::int64_t first = 0; first < k; first += 32) {
      float chains[2] = {};
      for (std::int64_t p = first; p < std::min(k, first + 32); ++p) {
        float& chain = chains[p % 2];
        chain = Flush(std::fma(FlushedValue(a[i * a_stride + p]), FlushedValue(FloatToBFloat16(w[j * k + p])), chain));
      }
      sum = Flush(sum + Flush(chains[0] + chains[1]));
    }
    return sum;
  }

  // What Run gave is what gemm_bf16.h defines for this level.
  void ExpectDefinition() {
    const std::vector<float> got = out.values();
    if (GetGemmBF16(ActiveIsa()).isa != Isa::kAmx) {
      Run(Isa::kScalar);
    }
    for (std::int64_t i = 0; i < m && GetGemmBF16(ActiveIsa()).isa == Isa::kAmx; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        out[i * out_stride + j] = TileSum(i, j) + bias[j];
      }
    }
    ASSERT_TRUE(SameBits(out.span(), got)) << m << "x" << n << "x" << k;
  }

  // Operands as tensor/dtype.h rounds them; |error| of a chain of k roundings of partial sums, each at most sum |a w|;
  // then the bias.
  void ExpectNearTheTrueSum() {
    constexpr double kUlp = 0x1p-23;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0;
        double magnitude = 0;
        for (std::int64_t p = 0; p < k; ++p) {
          const double product = double{BFloat16ToFloat(FloatToBFloat16(x[i * (k + 3) + p]))} *
                                 BFloat16ToFloat(FloatToBFloat16(w[j * k + p]));
          sum += product;
          magnitude += std::abs(product);
        }
        const double bound = static_cast<double>(k) * kUlp * magnitude + kUlp * std::abs(sum + bias[j]);
        ASSERT_NEAR(out[i * out_stride + j], sum + bias[j], bound)
            << m << "x" << n << "x" << k << " at " << i << "," << j;
      }
      for (std::int64_t j = n; i + 1 < m && j < out_stride; ++j) {
        ASSERT_EQ(out[i * out_stride + j], kUntouched) << "gap after row " << i;
      }
    }
  }

  std::int64_t m, n, k;
  WeightType type;
  std::int64_t a_stride, out_stride;
  GuardedBuffer<float> x;
  GuardedBuffer<std::uint16_t> a;
  GuardedBuffer<float> w;
  GuardedBuffer<std::uint16_t> words;
  GuardedBuffer<float> bias;
  GuardedBuffer<float> out;
  GuardedBuffer<std::uint16_t> rounded;
};

Isa LevelThatRuns() { return ActiveIsa() >= Isa::kAvx512BF16 ? ActiveIsa() : Isa::kScalar; }

TEST(GemmBF16, RunsTheForcedLevel) { EXPECT_EQ(GetGemmBF16(ActiveIsa()).isa, LevelThatRuns()); }

TEST(GemmBF16, IsTheDefinitionAndLiesWithinTheBound) {
  std::mt19937 rng(1);
  for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
    for (const std::int64_t k : {0, 1, 2, 7, 64, 301}) {
      for (const std::int64_t n : {1, 2, 15, 16, 17, 48, 64, 65, 128, 150}) {
        for (const std::int64_t m : {1, 2, 7, 13}) {
          Problem problem(m, n, k, type, rng);
          problem.Run(ActiveIsa());
          problem.ExpectNearTheTrueSum();
          problem.ExpectDefinition();
        }
      }
    }
  }
}

TEST(GemmBF16, EveryNumberOfRows) {
  std::mt19937 rng(8);
  for (std::int64_t m = 0; m <= 70; ++m) {
    Problem problem(m, 50, 45, WeightType::kF32, rng);
    problem.Run(ActiveIsa());
    problem.ExpectDefinition();
  }
}

// As amx cuts them: k in two parts, the second one not whole; two chunks of rows.
TEST(GemmBF16, PartsOfKAndChunksOfRows) {
  std::mt19937 rng(9);
  for (const auto& [m, n, k] : {std::array{101, 70, 701}, std::array{1050, 34, 40}}) {
    Problem problem(m, n, k, WeightType::kBF16, rng);
    problem.Run(ActiveIsa());
    problem.ExpectDefinition();
  }
}

#if LACONIC_HAVE_AMX
TEST(GemmBF16, TakesTheTilesThatItNeedsAndReleasesThem) {
  if (ActiveIsa() != Isa::kAmx) {
    GTEST_SKIP() << "a level without tiles";
  }
  std::mt19937 rng(10);
  Problem problem(40, 64, 96, WeightType::kBF16, rng);
  const AmxCounts before = EmulatedAmx();
  problem.Run(ActiveIsa());
  const AmxCounts after = EmulatedAmx();
  EXPECT_FALSE(TilesConfigured());
  if (ProvideAmx() == AmxSource::kEmulator) {
    EXPECT_EQ(after.configurations - before.configurations, 1);
    EXPECT_EQ(after.products - before.products, 3 * 4 * 3);  // tiles of 16 rows, of 16 columns, of 32 k
  }
}
#endif

// Products and sums of all magnitudes: subnormals are 0 whether they are read, multiplied or summed.
TEST(GemmBF16, SubnormalsAreZeros) {
  std::mt19937 rng(2);
  std::uniform_real_distribution<float> exponent(-150, 20);
  Problem problem(13, 70, 40, WeightType::kF32, rng);
  for (float& x : problem.x.span()) {
    x *= std::exp2(exponent(rng));
  }
  for (float& w : problem.w.span()) {
    w *= std::exp2(exponent(rng) / 3);
  }
  std::fill_n(problem.bias.data(), problem.bias.size(), 0.0F);
  std::vector<std::uint16_t> rows[2];
  for (const int i : {0, 1}) {
    const Isa isa = i == 0 ? Isa::kScalar : ActiveIsa();
    GetGemmBF16(isa).round_rows({13, 40, problem.x.data(), 43, problem.a.data(), problem.a_stride});
    rows[i] = problem.a.values();
  }
  EXPECT_EQ(rows[0], rows[1]);
  EXPECT_TRUE(std::ranges::any_of(rows[0], [](std::uint16_t word) { return word == 0 || word == 0x8000; }));
  problem.Run(ActiveIsa());
  problem.ExpectDefinition();
}

TEST(GemmBF16, RowsAreRoundedHalfToEven) {
  std::mt19937 rng(3);
  for (const std::int64_t cols : {0, 1, 2, 15, 16, 17, 31, 32, 33, 100}) {
    const std::int64_t stride = Even(cols) + 2;
    GuardedBuffer<float> x(3 * cols);
    GuardedBuffer<std::uint16_t> out(StridedSize(3, Even(cols), stride));
    std::fill_n(out.data(), out.size(), kUntouchedWord);
    for (float& value : x.span()) {  // any bits but subnormals and NaN
      std::uint32_t bits = 0;
      do {
        bits = static_cast<std::uint32_t>(rng()) & (rng() % 4 == 0 ? 0xFFFF8000U : 0xFFFFFFFFU);
        value = std::bit_cast<float>(bits);
      } while (std::isnan(value) || std::fpclassify(value) == FP_SUBNORMAL);
    }
    GetGemmBF16(ActiveIsa()).round_rows({3, cols, x.data(), cols, out.data(), stride});
    for (std::int64_t i = 0; i < 3; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        ASSERT_EQ(out[i * stride + j], FloatToBFloat16(x[i * cols + j])) << x[i * cols + j];
      }
      for (std::int64_t j = cols; j < stride && i * stride + j < out.size(); ++j) {
        ASSERT_EQ(out[i * stride + j], j < Even(cols) ? 0 : kUntouchedWord);
      }
    }
  }
}

TEST(GemmBF16, KeepsNaNAndInfinity) {
  std::mt19937 rng(4);
  Problem problem(3, 20, 10, WeightType::kF32, rng);
  problem.x[4] = std::numeric_limits<float>::infinity();
  problem.x[13 + 4] = std::bit_cast<float>(0x7F800001U);  // its payload is lost by rounding
  GetGemmBF16(ActiveIsa()).round_rows({3, 10, problem.x.data(), 13, problem.a.data(), problem.a_stride});
  problem.Run(ActiveIsa());
  for (std::int64_t j = 0; j < 20; ++j) {
    EXPECT_TRUE(std::isinf(problem.out[j]));
    EXPECT_TRUE(std::isnan(problem.out[problem.out_stride + j]));
    EXPECT_TRUE(std::isfinite(problem.out[2 * problem.out_stride + j]));
  }
}

TEST(GemmBF16, ARowDoesNotDependOnTheOthersNorOnTheSplit) {
  std::mt19937 rng(5);
  const GemmBF16Kernels& kernels = GetGemmBF16(ActiveIsa());
  for (const std::int64_t n : {40, 144, 256}) {
    Problem problem(219, n, 300, WeightType::kBF16, rng);
    GuardedBuffer<std::byte> packed(kernels.packed_bytes(problem.k, n));
    kernels.pack(problem.k, n, problem.Weights(), packed.data());
    kernels.run(problem.Args(packed.data()));
    const std::vector<float> want = problem.out.values();
    std::fill_n(problem.out.data(), problem.out.size(), kUntouched);
    const std::int64_t panel = kernels.panel_columns(n);
    for (std::int64_t i = 0; i < problem.m; ++i) {  // one row and one panel at a time
      for (std::int64_t begin = 0; begin < n; begin += panel) {
        GemmBF16Args args = problem.Args(packed.data());
        args.m = 1;
        args.a += i * args.a_stride;
        args.out += i * args.out_stride;
        args.n_begin = begin;
        args.n_end = std::min(n, begin + panel);
        kernels.run(args);
      }
    }
    EXPECT_TRUE(SameBits(problem.out.span(), want));
  }
}

TEST(GemmBF16, RoundedOutputsAreTheRoundedOnes) {
  std::mt19937 rng(6);
  const GemmBF16Kernels& kernels = GetGemmBF16(ActiveIsa());
  for (const std::int64_t n : {1, 16, 47, 48, 65, 70}) {
    Problem problem(9, n, 33, WeightType::kF32, rng);
    GuardedBuffer<std::byte> packed(kernels.packed_bytes(33, n));
    kernels.pack(33, n, problem.Weights(), packed.data());
    for (const Activation activation :
         {Activation::kNone, Activation::kGeluErf, Activation::kGeluTanh, Activation::kRelu, Activation::kTanh}) {
      GemmBF16Args args = problem.Args(packed.data());
      args.bias = nullptr;
      kernels.run(args);
      std::vector<float> want = problem.out.values();
      for (std::int64_t i = 0; i < 9; ++i) {
        float* row = want.data() + i * problem.out_stride;
        GetElementwise(kernels.isa).activate(activation, n, row, row);
      }
      args.activation = activation;
      kernels.run(args);
      EXPECT_TRUE(SameBits(problem.out.span(), want)) << static_cast<int>(activation);
      args.out = nullptr;
      args.rounded = problem.rounded.data();
      kernels.run(args);
      for (std::int64_t i = 0; i < 9; ++i) {
        for (std::int64_t j = 0; j < problem.out_stride && i * problem.out_stride + j < problem.rounded.size(); ++j) {
          const std::int64_t at = i * problem.out_stride + j;
          const std::uint16_t beyond = j < Even(n) ? std::uint16_t{0} : kUntouchedWord;
          ASSERT_EQ(problem.rounded[at], j < n ? RoundToBFloat16(want[static_cast<std::size_t>(at)]) : beyond)
              << n << " at " << i << "," << j;
        }
      }
    }
  }
}

TEST(GemmBF16, WeightsOfAnyStrides) {
  std::mt19937 rng(7);
  const GemmBF16Kernels& kernels = GetGemmBF16(ActiveIsa());
  Problem problem(3, 50, 20, WeightType::kF32, rng);
  problem.Run(ActiveIsa());
  const std::vector<float> want = problem.out.values();
  std::vector<float> transposed(std::size_t{20} * 53, NAN);  // [k, n], rows 53 apart
  for (std::int64_t j = 0; j < 50; ++j) {
    for (std::int64_t p = 0; p < 20; ++p) {
      transposed[static_cast<std::size_t>(p * 53 + j)] = problem.w[j * 20 + p];
    }
  }
  GuardedBuffer<std::byte> packed(kernels.packed_bytes(20, 50));
  kernels.pack(20, 50, {transposed.data(), WeightType::kF32, 53, 1}, packed.data());
  kernels.run(problem.Args(packed.data()));
  EXPECT_TRUE(SameBits(problem.out.span(), want));
}

TEST(GemmBF16, TheFasterPrecisionStaysTheSame) {
  const bool is_faster = BFloat16IsFaster(ActiveIsa());
  std::printf("bfloat16 is %s here\n", is_faster ? "faster" : "not faster");
  EXPECT_EQ(BFloat16IsFaster(ActiveIsa()), is_faster);
  EXPECT_TRUE(!is_faster || ActiveIsa() >= Isa::kAvx512BF16);
}

}  // namespace
}  // namespace laconic::kernels
