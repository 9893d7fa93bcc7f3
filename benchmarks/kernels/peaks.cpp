// What this CPU can do at most, as JSON: peaks [--threads 1,2] [--mb 11,85]
//
// gops: multiplications and additions per nanosecond of each instruction, {instruction: {threads: value}}: a loop of
// it on registers, sixteen results in flight; of AMX on random numbers, since it slows down on them.
// bandwidth_gb_s: reading that many megabytes again and again, {megabytes: {threads: value}}; threads share them.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include <fmt/format.h>

#include "kernels/amx_tiles.h"
#include "kernels/isa.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRuns = 60;  // the best counts: the machine may be shared

// Sixteen instructions with results in registers 0 to 15, `n` times.
#define LACONIC_SIXTEEN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LACONIC_LOOP(name, X)                                                                                        \
  void name(std::int64_t n) {                                                                                        \
    asm volatile("1:\n" LACONIC_SIXTEEN(X) "dec %0\n jnz 1b\n"                                                       \
                 : "+r"(n)                                                                                           \
                 :                                                                                                   \
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
                   "xmm12", "xmm13", "xmm14", "xmm15", "cc");                                                        \
  }
#define LACONIC_FMA_YMM(i) "vfmadd231ps %%ymm" #i ", %%ymm" #i ", %%ymm" #i "\n"
// Saturating products of pairs, their sums of two, and the addition to a sum that stays elsewhere.
#define LACONIC_MADD_YMM(i)                       \
  "vpmaddubsw %%ymm" #i ", %%ymm" #i ", %%ymm" #i \
  "\n"                                            \
  "vpmaddwd %%ymm" #i ", %%ymm" #i ", %%ymm" #i   \
  "\n"                                            \
  "vpaddd %%ymm" #i ", %%ymm" #i ", %%ymm" #i "\n"
#define LACONIC_FMA_ZMM(i) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" #i "\n"
#define LACONIC_BF16_ZMM(i) "vdpbf16ps %%zmm30, %%zmm31, %%zmm" #i "\n"
#define LACONIC_VNNI_YMM(i) "%{vex%} vpdpbusd %%ymm" #i ", %%ymm" #i ", %%ymm" #i "\n"
#define LACONIC_VNNI_ZMM(i) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #i "\n"
LACONIC_LOOP(FmaYmm, LACONIC_FMA_YMM)
LACONIC_LOOP(MaddYmm, LACONIC_MADD_YMM)
LACONIC_LOOP(FmaZmm, LACONIC_FMA_ZMM)
LACONIC_LOOP(Bf16Zmm, LACONIC_BF16_ZMM)
LACONIC_LOOP(VnniYmm, LACONIC_VNNI_YMM)
LACONIC_LOOP(VnniZmm, LACONIC_VNNI_ZMM)

// Results in tiles 0 to 3; 4 to 7 hold random bytes, or bf16 numbers from 1 to 2 of either sign.
template <typename Products>
void Amx(std::int64_t n) {
  constexpr bool kBF16 = std::is_same_v<Products, laconic::kernels::BF16Products>;
  std::mt19937 random(1);
  std::uint8_t bytes[4][laconic::kernels::kTileBytes];
  for (std::size_t i = 0; i < sizeof bytes; i += 2) {
    const auto word = static_cast<std::uint16_t>(kBF16 ? 0x3F80 | (random() & 0x807F) : random());
    std::memcpy(&bytes[0][0] + i, &word, sizeof word);
  }
  laconic::kernels::ConfigureTiles({});
  laconic::kernels::ForTiles<4>([&]<int kTile>() {
    laconic::kernels::ZeroTile<kTile>();
    laconic::kernels::LoadTile<4 + kTile>(bytes[kTile], laconic::kernels::kTileDepth);
  });
  for (; n > 0; --n) {
    Products::template Add<0, 6, 4>();
    Products::template Add<1, 6, 5>();
    Products::template Add<2, 7, 4>();
    Products::template Add<3, 7, 5>();
  }
  laconic::kernels::ReleaseTiles();
}

struct Instruction {
  const char* name;
  bool (*supported)();
  void (*loop)(std::int64_t n);
  double operations;  // of one turn of the loop
};

bool Has(laconic::kernels::Isa isa) { return laconic::kernels::IsaSupported(isa); }
bool HasAvx2() { return Has(laconic::kernels::Isa::kAvx2); }
bool HasAvxVnni() { return Has(laconic::kernels::Isa::kAvxVnni); }
bool HasVnni() { return Has(laconic::kernels::Isa::kAvx512Vnni); }
bool HasAvx512Bf16() { return Has(laconic::kernels::Isa::kAvx512BF16); }
bool HasAmx() { return Has(laconic::kernels::Isa::kAmx); }

constexpr Instruction kInstructions[] = {
    {"f32_avx2", HasAvx2, FmaYmm, 16 * 8 * 2},
    {"int8_avx2", HasAvx2, MaddYmm, 16 * 32 * 2},
    {"f32_avx512", HasVnni, FmaZmm, 16 * 16 * 2},
    {"bf16_avx512", HasAvx512Bf16, Bf16Zmm, 16 * 32 * 2},
    {"int8_avx_vnni", HasAvxVnni, VnniYmm, 16 * 32 * 2},
    {"int8_avx512_vnni", HasVnni, VnniZmm, 16 * 64 * 2},
    {"int8_amx", HasAmx, Amx<laconic::kernels::U8S8Products>, 4 * 16 * 16 * 64 * 2},
    {"bf16_amx", HasAmx, Amx<laconic::kernels::BF16Products>, 4 * 16 * 16 * 32 * 2},
};

// Seconds from the common start of so many threads to the end of the last.
double Seconds(int num_threads, const std::function<void(int)>& body) {
  std::atomic<int> waiting = 0;
  std::atomic<bool> go = false;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(num_threads));
  for (int i = 0; i < num_threads; ++i) {
    threads.emplace_back([&, i] {
      ++waiting;
      while (!go) {
      }
      body(i);
    });
  }
  while (waiting < num_threads) {
    std::this_thread::yield();
  }
  const auto start = Clock::now();
  go = true;
  for (std::thread& thread : threads) {
    thread.join();
  }
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double BestSeconds(int num_threads, const std::function<void(int)>& body) {
  double best = Seconds(num_threads, body);
  for (int run = 1; run < kRuns; ++run) {
    best = std::min(best, Seconds(num_threads, body));
  }
  return best;
}

double PeakGops(const Instruction& instruction, int num_threads) {
  constexpr double kOperations = 1e9;  // some 1 to 9 ms: fits between interruptions
  const auto turns = static_cast<std::int64_t>(kOperations / instruction.operations);
  const double seconds = BestSeconds(num_threads, [&](int) { instruction.loop(turns); });
  return 1e-9 * instruction.operations * static_cast<double>(turns) * num_threads / seconds;
}

constexpr std::int64_t kWords = 16;  // two lines a turn, eight sums in flight with what the compiler makes of them

void AddWords(const std::uint64_t* words, std::int64_t count, std::uint64_t (&sums)[kWords]) {
  for (std::int64_t i = 0; i < count; i += kWords) {
    for (std::int64_t j = 0; j < kWords; ++j) {
      sums[j] += words[i + j];
    }
  }
  asm volatile("" : : : "memory");
}

double BandwidthGbPerS(std::int64_t megabytes, int num_threads) {
  const std::int64_t words = megabytes * 1'000'000 / 8 / num_threads / kWords * kWords;
  const std::int64_t passes = std::max<std::int64_t>(1, 60 / megabytes);
  const std::vector<std::uint64_t> data(static_cast<std::size_t>(words * num_threads), 1);
  std::atomic<std::uint64_t> sink = 0;
  const double seconds = BestSeconds(num_threads, [&](int thread) {
    std::uint64_t sums[kWords] = {};
    for (std::int64_t pass = 0; pass < passes; ++pass) {
      AddWords(data.data() + words * thread, words, sums);
    }
    for (const std::uint64_t sum : sums) {
      sink += sum;
    }
  });
  return 8e-9 * static_cast<double>(words * num_threads * passes) / seconds;
}

std::vector<int> ParseList(std::string_view text) {
  std::vector<int> values;
  for (std::size_t begin = 0; begin < text.size();
       begin = text.find(',', begin) == std::string_view::npos ? text.size() : text.find(',', begin) + 1) {
    values.push_back(std::max(1, std::atoi(text.data() + begin)));
  }
  return values;
}

// {"1": value, "2": value}
std::string ByThreads(const std::vector<int>& thread_counts, const std::function<double(int)>& measure) {
  std::string text;
  for (const int threads : thread_counts) {
    text += fmt::format("{}\"{}\": {:.1f}", text.empty() ? "" : ", ", threads, measure(threads));
  }
  return "{" + text + "}";
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> thread_counts = {1, 2};
  std::vector<int> megabytes = {11, 85};
  for (int i = 1; i + 1 < argc; i += 2) {
    (std::string_view(argv[i]) == "--mb" ? megabytes : thread_counts) = ParseList(argv[i + 1]);
  }
  std::string gops;
  for (const Instruction& instruction : kInstructions) {
    if (instruction.supported()) {
      gops += fmt::format("{}\n  \"{}\": {}", gops.empty() ? "" : ",", instruction.name,
                          ByThreads(thread_counts, [&](int threads) { return PeakGops(instruction, threads); }));
    }
  }
  std::string bandwidth;
  for (const int size : megabytes) {
    bandwidth += fmt::format("{}\n  \"{}\": {}", bandwidth.empty() ? "" : ",", size,
                             ByThreads(thread_counts, [&](int threads) { return BandwidthGbPerS(size, threads); }));
  }
  std::fputs(fmt::format("{{\"gops\": {{{}}},\n \"bandwidth_gb_s\": {{{}}}}}\n", gops, bandwidth).c_str(), stdout);
  return 0;
}
