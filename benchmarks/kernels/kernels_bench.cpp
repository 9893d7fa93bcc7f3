// Throughput of each kernel family at each level of this CPU (or at LACONIC_FORCE_ISA's), one thread:
// kernels_bench [family...]
// GEMMs: Gop/s (2 m n k operations); the others: elements per microsecond. Each figure is the best of many runs, with
// random data, since AMX slows down on it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <new>
#include <numeric>
#include <random>
#include <string_view>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/attention_int8/attention_int8.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_u8s8/gemm_u8s8.h"
#include "kernels/isa.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/quantize_rows/quantize_rows.h"
#include "kernels/quantize_static/quantize_static.h"

namespace {

using namespace laconic::kernels;  // NOLINT(google-build-using-namespace): a program of one file

constexpr Isa kLevels[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512Vnni, Isa::kAvx512BF16, Isa::kAmx};

struct Shape {
  std::int64_t k;
  std::int64_t n;
};
constexpr Shape kShapes[] = {{384, 384}, {384, 1152}, {384, 1536}, {1536, 384},
                             {768, 768}, {768, 2304}, {768, 3072}, {3072, 768}};
constexpr std::int64_t kRows[] = {1, 16, 128, 1024};

// 64-byte aligned, filled with random bytes that make small finite floats too.
template <typename T>
class Buffer {
 public:
  explicit Buffer(std::int64_t count)
      : data_(static_cast<T*>(operator new (static_cast<std::size_t>(count) * sizeof(T) + 64, std::align_val_t{64}))) {
    static std::mt19937 rng(1);
    for (std::int64_t i = 0; i < count; ++i) {
      data_[i] = static_cast<T>(static_cast<int>(rng() % 255) - (std::is_unsigned_v<T> ? 0 : 127));
    }
  }
  ~Buffer() { operator delete (data_, std::align_val_t{64}); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* data() { return data_; }

 private:
  T* data_;
};

// As quantized weights of a column are distributed: about normal, the largest of some hundreds 127.
void FillAsWeights(std::int64_t count, std::int8_t* w) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal(0, 127 / 3.4F);
  for (std::int64_t i = 0; i < count; ++i) {
    w[i] = static_cast<std::int8_t>(std::lrint(std::clamp(normal(rng), -127.0F, 127.0F)));
  }
}

// This thread's processor time: on a shared machine a long run is interrupted.
double ThreadSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Seconds of the best run, of as many as fit 0.15 s and at least 3.
double BestSeconds(const std::function<void()>& body) {
  double best = 1e9;
  double total = 0;
  for (int run = 0; run < 3 || total < 0.15; ++run) {
    const double start = ThreadSeconds();
    body();
    const double seconds = ThreadSeconds() - start;
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

// cold: each run has other weights, as the layers of a model have; they come from L3 or memory.
class PackedWeights {
 public:
  PackedWeights(std::int64_t bytes, bool cold, const std::function<void(void*)>& pack)
      : bytes_(bytes), copies_(cold ? kColdBytes / bytes : 1), data_(copies_ * bytes) {
    for (std::int64_t copy = 0; copy < copies_; ++copy) {
      pack(data_.data() + copy * bytes_);
    }
  }
  const void* Next() {
    next_ = (next_ + 1) % copies_;
    return data_.data() + next_ * bytes_;
  }

 private:
  static constexpr std::int64_t kColdBytes = 48 << 20;
  std::int64_t bytes_;
  std::int64_t copies_;
  Buffer<std::int8_t> data_;
  std::int64_t next_ = 0;
};

void BenchGemmU8S8(Isa isa, std::int64_t m, Shape shape, Activation activation, bool cold) {
  const GemmU8S8Kernels& kernels = GetGemmU8S8(isa);
  Buffer<std::uint8_t> a(m * shape.k);
  Buffer<float> a_scale(m);
  Buffer<std::int32_t> a_zero(m);
  Buffer<std::int8_t> w(shape.n * shape.k);
  FillAsWeights(shape.n * shape.k, w.data());
  Buffer<float> w_scale(shape.n);
  Buffer<float> bias(shape.n);
  Buffer<float> out(m * shape.n);
  PackedWeights packed(kernels.packed_bytes(shape.k, shape.n), cold,
                       [&](void* to) { kernels.pack(shape.k, shape.n, w.data(), 1, shape.k, to); });
  GemmU8S8Args args = {.m = m,
                       .n = shape.n,
                       .k = shape.k,
                       .a = a.data(),
                       .a_stride = shape.k,
                       .a_scale = a_scale.data(),
                       .a_zero = a_zero.data(),
                       .w_scale = w_scale.data(),
                       .bias = bias.data(),
                       .activation = activation,
                       .out = out.data(),
                       .out_stride = shape.n,
                       .n_end = shape.n};
  const double seconds = BestSeconds([&] {
    args.packed = packed.Next();
    kernels.run(args);
  });
  std::printf(" %7.0f", 2e-9 * static_cast<double>(m * shape.n * shape.k) / seconds);
}

void BenchGemmF32(Isa isa, std::int64_t m, Shape shape, WeightType type, bool cold) {
  const GemmF32Kernels& kernels = GetGemmF32(isa);
  Buffer<float> a(m * shape.k);
  Buffer<float> w(shape.n * shape.k);
  Buffer<float> bias(shape.n);
  Buffer<float> out(m * shape.n);
  PackedWeights packed(kernels.packed_bytes(shape.k, shape.n, type), cold, [&](void* to) {
    kernels.pack(shape.k, shape.n, {w.data(), type, 1, shape.k}, to);
  });
  GemmF32Args args = {m,           shape.n,           shape.k,    a.data(), shape.k, nullptr, type,
                      bias.data(), Activation::kNone, out.data(), shape.n,  0,       shape.n};
  const double seconds = BestSeconds([&] {
    args.packed = packed.Next();
    kernels.run(args);
  });
  std::printf(" %7.0f", 2e-9 * static_cast<double>(m * shape.n * shape.k) / seconds);
}

// Random numbers from 1 to 2 of either sign.
void FillBFloat16(std::int64_t count, std::uint16_t* words) {
  std::mt19937 rng(1);
  std::generate_n(words, count, [&] { return static_cast<std::uint16_t>(0x3F80 | (rng() & 0x807F)); });
}

// With an activation the outputs are rounded, as for the layer that reads them.
void BenchGemmBF16(Isa isa, std::int64_t m, Shape shape, Activation activation, bool cold) {
  const GemmBF16Kernels& kernels = GetGemmBF16(isa);
  Buffer<std::uint16_t> a(m * shape.k);
  Buffer<std::uint16_t> w(shape.n * shape.k);
  FillBFloat16(m * shape.k, a.data());
  FillBFloat16(shape.n * shape.k, w.data());
  Buffer<float> bias(shape.n);
  Buffer<float> out(m * shape.n);
  PackedWeights packed(kernels.packed_bytes(shape.k, shape.n), cold, [&](void* to) {
    kernels.pack(shape.k, shape.n, {w.data(), WeightType::kBF16, 1, shape.k}, to);
  });
  const bool rounds = activation != Activation::kNone;
  GemmBF16Args args = {.m = m,
                       .n = shape.n,
                       .k = shape.k,
                       .a = a.data(),
                       .a_stride = shape.k,
                       .bias = bias.data(),
                       .activation = activation,
                       .out = out.data(),
                       .rounded = rounds ? reinterpret_cast<std::uint16_t*>(out.data()) : nullptr,
                       .out_stride = shape.n,
                       .n_end = shape.n};
  const double seconds = BestSeconds([&] {
    args.packed = packed.Next();
    kernels.run(args);
  });
  std::printf(" %7.0f", 2e-9 * static_cast<double>(m * shape.n * shape.k) / seconds);
}

void BenchGemms(Isa isa, const char* title, const std::function<void(std::int64_t, Shape)>& bench) {
  std::printf("%s, %s, Gop/s\n%8s", title, std::string(ToString(isa)).c_str(), "m");
  for (const Shape& shape : kShapes) {
    std::printf(" %3d>%-3d", static_cast<int>(shape.k), static_cast<int>(shape.n));
  }
  for (const std::int64_t m : kRows) {
    std::printf("\n%8d", static_cast<int>(m));
    for (const Shape& shape : kShapes) {
      bench(m, shape);
      std::fflush(stdout);
    }
  }
  std::printf("\n");
}

void BenchAttention(Isa isa, const char* name, const AttentionKernels& kernels) {
  for (const Shape& shape : {Shape{16, 64}, Shape{128, 32}, Shape{128, 64}, Shape{512, 64}}) {
    const std::int64_t length = shape.k;
    const std::int64_t stride = 36 * shape.n;
    Buffer<float> qkv(length * stride);
    Buffer<float> out(length * shape.n);
    Buffer<std::int8_t> scratch(kernels.scratch_bytes(length, shape.n));
    AttentionArgs args = {length,        length,
                          shape.n,       qkv.data(),
                          stride,        qkv.data() + 12 * shape.n,
                          stride,        qkv.data() + 24 * shape.n,
                          stride,        1e-3F,
                          out.data(),    shape.n,
                          scratch.data()};
    const double seconds = BestSeconds([&] { kernels.run(args); });
    std::printf("%s %s length %d head %d: %.0f Gop/s, %.1f us\n", name, std::string(ToString(isa)).c_str(),
                static_cast<int>(length), static_cast<int>(shape.n),
                4e-9 * static_cast<double>(length * length * shape.n) / seconds, 1e6 * seconds);
  }
}

void BenchRows(Isa isa) {
  for (const std::int64_t cols : {384, 768, 3072}) {
    constexpr std::int64_t kCount = 128;
    Buffer<float> x(kCount * cols);
    Buffer<float> residual(kCount * cols);
    Buffer<float> gamma(cols);
    Buffer<float> out(kCount * cols);
    Buffer<std::uint8_t> q(kCount * cols);
    Buffer<float> scale(kCount);
    Buffer<std::int32_t> zero(kCount);
    const double elements = 1e-6 * static_cast<double>(kCount * cols);
    const double quantize = BestSeconds([&] {
      GetQuantizeRows(isa).run({kCount, cols, x.data(), cols, nullptr, q.data(), cols, scale.data(), zero.data()});
    });
    const double norm = BestSeconds([&] {
      GetLayerNorm(isa).run(
          {kCount, cols, x.data(), cols, residual.data(), cols, gamma.data(), gamma.data(), 1e-5F, out.data(), cols});
    });
    const double fused = BestSeconds([&] {
      GetLayerNorm(isa).run({kCount, cols, x.data(), cols, residual.data(), cols, gamma.data(), gamma.data(), 1e-5F,
                             out.data(), cols, q.data(), cols, nullptr, scale.data(), zero.data()});
    });
    const double gelu =
        BestSeconds([&] { GetElementwise(isa).activate(Activation::kGeluErf, kCount * cols, x.data(), out.data()); });
    std::printf("128 x %4d %-11s elements/us: quantize %5.0f, residual + norm %5.0f, + quantize %5.0f, gelu %5.0f\n",
                static_cast<int>(cols), std::string(ToString(isa)).c_str(), elements / quantize, elements / norm,
                elements / fused, elements / gelu);
  }
}

// Words, positions and token types of BERT's tables; each run has other words, which come from L3 or memory.
void BenchEmbedding(Isa isa, const char* title) {
  constexpr std::int64_t kTokens = 128;
  constexpr std::int64_t kWords = 30522;
  constexpr std::int64_t kTexts = 64;
  constexpr std::int64_t kBlock = 32;
  Buffer<std::int64_t> words(kTexts * kTokens);
  std::mt19937 rng(1);
  std::generate_n(words.data(), kTexts * kTokens, [&] { return static_cast<std::int64_t>(rng() % kWords); });
  Buffer<std::int64_t> positions(kTokens);
  std::iota(positions.data(), positions.data() + kTokens, 0);
  Buffer<std::int64_t> types(kTokens);
  std::fill_n(types.data(), kTokens, 0);
  for (const std::int64_t cols : {384, 768}) {
    Buffer<float> table(kWords * cols);  // its bytes are numbers in every type
    Buffer<float> scale(kWords * cols / kBlock);
    Buffer<float> out(kTokens * cols);
    const auto bench = [&](WeightType type, std::int64_t block) {
      EmbeddingArgs args = {.tokens = kTokens, .cols = cols, .num_tables = 3, .out = out.data(), .out_stride = cols};
      args.tables[0] = {.data = table.data(), .type = type, .row_stride = cols, .scale = scale.data(), .block = block};
      args.tables[1] = args.tables[0];
      args.tables[1].ids = positions.data();
      args.tables[2] = {.data = table.data(), .row_stride = cols, .ids = types.data()};
      std::int64_t text = 0;
      const double seconds = BestSeconds([&] {
        text = (text + 1) % kTexts;
        args.tables[0].ids = words.data() + text * kTokens;
        GetEmbedding(isa).run(args);
      });
      return 1e-6 * static_cast<double>(kTokens * cols) / seconds;
    };
    std::printf("%s 128 x %4d %-11s elements/us: f32 %5.0f, f16 %5.0f, s8 %5.0f, s8 in blocks of 32 %5.0f\n", title,
                static_cast<int>(cols), std::string(ToString(isa)).c_str(), bench(WeightType::kF32, 0),
                bench(WeightType::kF16, 0), bench(WeightType::kS8, 0), bench(WeightType::kS8, kBlock));
  }
}

// Of normal numbers, so that as many as in a model lie so near a tie that they are divided; the scale is that of a
// range of four deviations.
void BenchQuantizeStatic(Isa isa, const char* title) {
  for (const std::int64_t cols : {384, 768, 3072}) {
    constexpr std::int64_t kCount = 128;
    Buffer<float> x(kCount * cols);
    std::mt19937 rng(1);
    std::normal_distribution<float> normal;
    std::generate_n(x.data(), kCount * cols, [&] { return normal(rng); });
    Buffer<float> multiplier(cols);
    std::generate_n(multiplier.data(), cols, [&] { return 1 + 0.1F * normal(rng); });
    Buffer<std::uint8_t> q(kCount * cols);
    Buffer<float> scale(kCount);
    Buffer<std::int32_t> zero(kCount);
    const auto bench = [&](const float* factors) {
      const double seconds = BestSeconds([&] {
        GetQuantizeStatic(isa).run(
            {kCount, cols, x.data(), cols, factors, 8.0F / 255, 128, q.data(), cols, scale.data(), zero.data()});
      });
      return 1e-6 * static_cast<double>(kCount * cols) / seconds;
    };
    std::printf("%s 128 x %4d %-11s elements/us: %5.0f, smoothed %5.0f\n", title, static_cast<int>(cols),
                std::string(ToString(isa)).c_str(), bench(nullptr), bench(multiplier.data()));
  }
}

bool HasF32(Isa isa) { return isa == Isa::kAvx2 || isa == Isa::kAvx512Vnni; }
bool HasBF16(Isa isa) { return isa == Isa::kAvx512BF16 || isa == Isa::kAmx; }
bool HasU8S8(Isa isa) { return GetGemmU8S8(isa).isa == isa && isa != Isa::kScalar; }

template <Activation kActivation, bool kCold>
void BenchGemmsU8S8(Isa isa, const char* title) {
  BenchGemms(isa, title, [&](std::int64_t m, Shape shape) { BenchGemmU8S8(isa, m, shape, kActivation, kCold); });
}
template <Activation kActivation, bool kCold>
void BenchGemmsBF16(Isa isa, const char* title) {
  BenchGemms(isa, title, [&](std::int64_t m, Shape shape) { BenchGemmBF16(isa, m, shape, kActivation, kCold); });
}
template <WeightType kType, bool kCold>
void BenchGemmsF32(Isa isa, const char* title) {
  BenchGemms(isa, title, [&](std::int64_t m, Shape shape) { BenchGemmF32(isa, m, shape, kType, kCold); });
}

struct Family {
  const char* name;   // on the command line
  const char* title;  // above the figures
  bool (*has_level)(Isa isa);
  void (*bench)(Isa isa, const char* title);
};
constexpr Family kFamilies[] = {
    {"gemm_u8s8", "gemm_u8s8", HasU8S8, BenchGemmsU8S8<Activation::kNone, false>},
    {"gemm_u8s8_cold", "gemm_u8s8, cold weights", HasU8S8, BenchGemmsU8S8<Activation::kNone, true>},
    {"gemm_u8s8_gelu", "gemm_u8s8 + gelu", HasU8S8, BenchGemmsU8S8<Activation::kGeluErf, false>},
    {"gemm_f32", "gemm_f32", HasF32, BenchGemmsF32<WeightType::kF32, false>},
    {"gemm_f32_cold", "gemm_f32, cold weights", HasF32, BenchGemmsF32<WeightType::kF32, true>},
    {"gemm_f16", "gemm_f32 of f16", HasF32, BenchGemmsF32<WeightType::kF16, false>},
    {"gemm_bf16", "gemm_bf16", HasBF16, BenchGemmsBF16<Activation::kNone, false>},
    {"gemm_bf16_cold", "gemm_bf16, cold weights", HasBF16, BenchGemmsBF16<Activation::kNone, true>},
    {"gemm_bf16_gelu", "gemm_bf16 + gelu, rounded", HasBF16, BenchGemmsBF16<Activation::kGeluErf, false>},
    {"attention", "attention", [](Isa isa) { return GetAttention(isa, Precision::kBF16).isa == isa; },
     [](Isa isa, const char* title) { BenchAttention(isa, title, GetAttention(isa, Precision::kBF16)); }},
    {"attention_int8", "attention_int8", [](Isa isa) { return GetAttentionInt8(isa).isa == isa; },
     [](Isa isa, const char* title) { BenchAttention(isa, title, GetAttentionInt8(isa)); }},
    {"rows", "", [](Isa isa) { return HasF32(isa) || isa == Isa::kScalar; },
     [](Isa isa, const char* /*title*/) { BenchRows(isa); }},
    {"embedding", "embedding", [](Isa isa) { return GetEmbedding(isa).isa == isa; }, BenchEmbedding},
    {"quantize_static", "quantize_static", [](Isa isa) { return GetQuantizeStatic(isa).isa == isa; },
     BenchQuantizeStatic},
};

void BenchFamilies(Isa isa, const std::function<bool(std::string_view)>& wanted) {
  for (const Family& family : kFamilies) {
    if (wanted(family.name) && family.has_level(isa)) {
      family.bench(isa, family.title);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool forced = std::getenv("LACONIC_FORCE_ISA") != nullptr;
  for (const Isa isa : kLevels) {
    if (IsaSupported(isa) && (!forced || isa == ActiveIsa())) {
      BenchFamilies(isa, [&](std::string_view family) {
        return argc < 2 || std::any_of(argv + 1, argv + argc, [&](const char* name) { return family == name; });
      });
    }
  }
  return 0;
}
