#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>

#include "base/aligned_bytes.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/gemm_f32/gemm_f32.h"

namespace laconic::kernels {
namespace {

// A layer whose weights stay in the L1 and L2 caches: 1.6 million operations, some 10 microseconds.
constexpr std::int64_t kRows = 48;
constexpr std::int64_t kInputs = 256;
constexpr std::int64_t kOutputs = 64;
// The answer is the least time of each. CPUs are known with a half and with twice the rate: no run of bad luck in all
// of them takes the one for the other.
constexpr int kRuns = 8;

AlignedBytes Zeros(std::int64_t size_bytes) {
  AlignedBytes bytes(size_bytes);
  std::memset(bytes.data(), 0, static_cast<std::size_t>(size_bytes));
  return bytes;
}

template <typename Body>
void TakeLeastSeconds(const Body& body, double* least) {
  const auto start = std::chrono::steady_clock::now();
  body();
  *least = std::min(*least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

bool Measure(Isa isa) {
  const GemmF32Kernels& exact = GetGemmF32(isa);
  const GemmBF16Kernels& rounded = GetGemmBF16(isa);
  // Zeros are read in any type.
  const AlignedBytes a = Zeros(kRows * kInputs * 4);
  const AlignedBytes weights = Zeros(exact.packed_bytes(kInputs, kOutputs, WeightType::kF32));
  AlignedBytes out = Zeros(kRows * kOutputs * 4);
  GemmF32Args exact_args = {.m = kRows, .n = kOutputs, .k = kInputs};
  exact_args.a = reinterpret_cast<const float*>(a.data());
  exact_args.a_stride = kInputs;
  exact_args.packed = weights.data();
  exact_args.out = reinterpret_cast<float*>(out.data());
  exact_args.out_stride = kOutputs;
  exact_args.n_end = kOutputs;
  GemmBF16Args rounded_args = {.m = kRows, .n = kOutputs, .k = kInputs};
  rounded_args.a = reinterpret_cast<const std::uint16_t*>(a.data());
  rounded_args.a_stride = kInputs;
  rounded_args.packed = weights.data();
  rounded_args.out = exact_args.out;
  rounded_args.out_stride = kOutputs;
  rounded_args.n_end = kOutputs;
  double exact_seconds = std::numeric_limits<double>::infinity();
  double rounded_seconds = exact_seconds;
  for (int run = 0; run < kRuns; ++run) {
    TakeLeastSeconds([&] { exact.run(exact_args); }, &exact_seconds);
    TakeLeastSeconds([&] { rounded.run(rounded_args); }, &rounded_seconds);
  }
  return rounded_seconds < exact_seconds;
}

template <Isa kLevel>
bool MeasuredOnce() {
  static const bool is_faster = Measure(kLevel);
  return is_faster;
}

}  // namespace

bool BFloat16IsFaster(Isa isa) {
  switch (GetGemmBF16(isa).isa) {
    case Isa::kAvx512BF16:
      return MeasuredOnce<Isa::kAvx512BF16>();
    case Isa::kAmx:
      return MeasuredOnce<Isa::kAmx>();
    default:
      return false;
  }
}

}  // namespace laconic::kernels
