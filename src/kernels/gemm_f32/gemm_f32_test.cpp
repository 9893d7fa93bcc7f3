#include "kernels/gemm_f32/gemm_f32.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "kernels/elementwise/elementwise.h"
#include "kernels/testing.h"
#include "tensor/dtype.h"

namespace laconic::kernels {
namespace {

// One linear layer with every buffer ending at a guard page; the weights as f32 and as stored, [n, k].
struct Problem {
  Problem(std::int64_t rows, std::int64_t columns, std::int64_t depth, WeightType weight_type, std::mt19937& rng)
      : m(rows),
        n(columns),
        k(depth),
        type(weight_type),
        a_stride(depth + 5),
        out_stride(columns + 3),
        a(StridedSize(rows, depth, depth + 5)),
        w(columns * depth),
        words(columns * depth),
        bias(columns),
        out(StridedSize(rows, columns, columns + 3)) {
    FillNormal(a.span(), rng);
    FillNormal(w.span(), rng);
    FillNormal(bias.span(), rng);
    for (std::int64_t i = 0; i < w.size() && type != WeightType::kF32; ++i) {
      words[i] = type == WeightType::kF16 ? FloatToHalf(w[i]) : FloatToBFloat16(w[i]);
      w[i] = type == WeightType::kF16 ? HalfToFloat(words[i]) : BFloat16ToFloat(words[i]);
    }
    std::fill_n(out.data(), out.size(), kUntouched);
  }

  FloatWeights Weights() {
    return {type == WeightType::kF32 ? static_cast<const void*>(w.data()) : words.data(), type, 1, k};
  }

  GemmF32Args Args(const void* packed) {
    return {m, n, k, a.data(), a_stride, packed, type, bias.data(), Activation::kNone, out.data(), out_stride, 0, n};
  }

  void Run(Isa isa) {
    GuardedBuffer<std::byte> packed(GetGemmF32(isa).packed_bytes(k, n, type));
    GetGemmF32(isa).pack(k, n, Weights(), packed.data());
    GetGemmF32(isa).run(Args(packed.data()));
  }

  // |error| of a chain of k roundings of partial sums, each at most sum |a w|, and of the products; then the bias.
  void ExpectNearTheTrueSum() {
    constexpr double kUlp = 0x1p-23;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0;
        double magnitude = 0;
        for (std::int64_t p = 0; p < k; ++p) {
          const double product = double{a[i * a_stride + p]} * w[j * k + p];
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
  GuardedBuffer<float> a;
  GuardedBuffer<float> w;
  GuardedBuffer<std::uint16_t> words;
  GuardedBuffer<float> bias;
  GuardedBuffer<float> out;
};

constexpr WeightType kTypes[] = {WeightType::kF32, WeightType::kF16, WeightType::kBF16};

TEST(GemmF32, RunsTheForcedLevel) { EXPECT_EQ(GetGemmF32(ActiveIsa()).isa, ExpectedLevel(Isa::kAvx512Vnni)); }

void ExpectWithinTheBoundAndAvx2Agrees(Problem&& problem) {
  problem.Run(ActiveIsa());
  problem.ExpectNearTheTrueSum();
  if (ComparesWithAvx2()) {
    const std::vector<float> want = problem.out.values();
    problem.Run(Isa::kAvx2);
    ASSERT_TRUE(SameBits(problem.out.span(), want)) << problem.m << "x" << problem.n << "x" << problem.k;
  }
}

TEST(GemmF32, LiesWithinTheBoundAndTheVectorLevelsAgree) {
  std::mt19937 rng(1);
  for (const WeightType type : kTypes) {
    for (const std::int64_t k : {0, 1, 7, 64, 301}) {
      for (const std::int64_t n : {1, 2, 15, 16, 17, 48, 64, 65, 128, 150}) {
        for (const std::int64_t m : {1, 2, 7, 13}) {
          ExpectWithinTheBoundAndAvx2Agrees({m, n, k, type, rng});
        }
      }
    }
  }
}

TEST(GemmF32, ConvertsEveryHalfExactly) {
  for (const WeightType type : {WeightType::kF16, WeightType::kBF16}) {
    std::mt19937 rng(2);
    Problem problem(1, 65536, 1, type, rng);
    problem.a[0] = 1;
    for (std::int64_t j = 0; j < problem.n; ++j) {
      problem.words[j] = static_cast<std::uint16_t>(j);
      problem.bias[j] = -0.0F;
    }
    problem.Run(ActiveIsa());
    for (std::int64_t j = 0; j < problem.n; ++j) {
      const auto bits = static_cast<std::uint16_t>(j);
      const float want = 0.0F + (type == WeightType::kF16 ? HalfToFloat(bits) : BFloat16ToFloat(bits));
      ASSERT_TRUE(problem.out[j] == want || (std::isnan(want) && std::isnan(problem.out[j]))) << j;
    }
  }
}

TEST(GemmF32, ARowDoesNotDependOnTheOthersNorOnTheSplit) {
  std::mt19937 rng(3);
  for (const WeightType type : kTypes) {
    for (const std::int64_t n : {40, 144, 256}) {
      const GemmF32Kernels& kernels = GetGemmF32(ActiveIsa());
      Problem problem(219, n, 700, type, rng);  // more than one chunk of rows
      GuardedBuffer<std::byte> packed(kernels.packed_bytes(problem.k, n, type));
      kernels.pack(problem.k, n, problem.Weights(), packed.data());
      kernels.run(problem.Args(packed.data()));
      const std::vector<float> want = problem.out.values();
      std::fill_n(problem.out.data(), problem.out.size(), kUntouched);
      const std::int64_t panel = kernels.panel_columns(n);
      for (std::int64_t i = 0; i < problem.m; ++i) {  // one row and one panel at a time
        for (std::int64_t begin = 0; begin < n; begin += panel) {
          GemmF32Args args = problem.Args(packed.data());
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
}

TEST(GemmF32, WeightsOfAnyStrides) {
  std::mt19937 rng(4);
  Problem problem(3, 50, 20, WeightType::kF32, rng);
  problem.Run(ActiveIsa());
  const std::vector<float> want = problem.out.values();
  std::vector<float> transposed(std::size_t{20} * 53, NAN);  // [k, n], rows 53 apart
  for (std::int64_t j = 0; j < 50; ++j) {
    for (std::int64_t p = 0; p < 20; ++p) {
      transposed[static_cast<std::size_t>(p * 53 + j)] = problem.w[j * 20 + p];
    }
  }
  const GemmF32Kernels& kernels = GetGemmF32(ActiveIsa());
  GuardedBuffer<std::byte> packed(kernels.packed_bytes(20, 50, WeightType::kF32));
  kernels.pack(20, 50, {transposed.data(), WeightType::kF32, 53, 1}, packed.data());
  kernels.run(problem.Args(packed.data()));
  EXPECT_TRUE(SameBits(problem.out.span(), want));
}

TEST(GemmF32, ActivationsEqualElementwiseBitForBit) {
  std::mt19937 rng(5);
  const GemmF32Kernels& kernels = GetGemmF32(ActiveIsa());
  Problem problem(9, 70, 33, WeightType::kF32, rng);
  GuardedBuffer<std::byte> packed(kernels.packed_bytes(33, 70, WeightType::kF32));
  kernels.pack(33, 70, problem.Weights(), packed.data());
  for (const Activation activation :
       {Activation::kGeluErf, Activation::kGeluTanh, Activation::kRelu, Activation::kTanh}) {
    GemmF32Args args = problem.Args(packed.data());
    args.bias = nullptr;
    kernels.run(args);
    std::vector<float> want = problem.out.values();
    for (std::int64_t i = 0; i < 9; ++i) {
      float* row = want.data() + i * problem.out_stride;
      GetElementwise(ActiveIsa()).activate(activation, 70, row, row);
    }
    args.activation = activation;
    kernels.run(args);
    EXPECT_TRUE(SameBits(problem.out.span(), want)) << static_cast<int>(activation);
  }
}

}  // namespace
}  // namespace laconic::kernels
