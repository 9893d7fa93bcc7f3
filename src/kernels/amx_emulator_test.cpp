// The instructions against their scalar definitions: emulated, or the CPU's own where it has them.
#include "kernels/amx_emulator.h"

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <immintrin.h>

namespace laconic::kernels {
namespace {

// What ldtilecfg reads.
struct alignas(64) Configuration {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  void Set(int tile, int tile_rows, int bytes) {
    rows[tile] = static_cast<std::uint8_t>(tile_rows);
    row_bytes[tile] = static_cast<std::uint16_t>(bytes);
  }
};

// In asm with all the memory that they touch, which g++ 12's intrinsics leave out.
void Load(const Configuration& configuration) { asm volatile("ldtilecfg %0" : : "m"(configuration)); }
Configuration Stored() {
  Configuration configuration;
  asm volatile("sttilecfg %0" : "=m"(configuration));
  return configuration;
}
void FinishStores() { asm volatile("" : : : "memory"); }

bool operator==(const Configuration& a, const Configuration& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// All 8 tiles alike.
void ConfigureAll(int rows, int row_bytes) {
  Configuration configuration;
  for (int tile = 0; tile < 8; ++tile) {
    configuration.Set(tile, rows, row_bytes);
  }
  Load(configuration);
}

class AmxEmulator : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::printf("AMX: %s\n", Emulated() ? "emulated, because this CPU lacks it" : "this CPU's own");
  }
  static bool Emulated() { return ProvideAmx() == AmxSource::kEmulator; }
  void TearDown() override { _tile_release(); }

  std::vector<std::uint8_t> RandomBytes(std::size_t count) {
    std::vector<std::uint8_t> bytes(count);
    for (std::uint8_t& byte : bytes) {
      byte = static_cast<std::uint8_t>(rng_());
    }
    return bytes;
  }

  std::mt19937 rng_{1};
};

TEST_F(AmxEmulator, StoresTheConfigurationThatItLoaded) {
  Configuration configuration;
  configuration.Set(0, 16, 64);
  configuration.Set(7, 3, 20);
  Load(configuration);
  EXPECT_TRUE(Stored() == configuration);
  EXPECT_TRUE(TilesConfigured());
  _tile_release();
  EXPECT_FALSE(TilesConfigured());
  EXPECT_EQ(Stored().rows[7], 0);
}

TEST_F(AmxEmulator, MovesRowsAtAnyStride) {
  constexpr int kRows = 5;
  constexpr int kBytes = 24;
  constexpr std::ptrdiff_t kStride = 100;
  const std::vector<std::uint8_t> in = RandomBytes(kRows * kStride);
  std::vector<std::uint8_t> out(in.size(), 7);
  ConfigureAll(kRows, kBytes);
  FinishStores();
  _tile_loadd(2, in.data(), kStride);
  _tile_stored(2, out.data() + (kRows - 1) * kStride, -kStride);
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::size_t row = i / kStride;
    const std::size_t from = (kRows - 1 - row) * kStride + i % kStride;
    EXPECT_EQ(out[i], i % kStride < kBytes ? in[from] : 7) << i;
  }
  _tile_zero(2);
  _tile_stored(2, out.data(), kStride);
  EXPECT_EQ(out[0] | out[kStride + kBytes - 1], 0);
}

// Each way to write an address loads the same row.
TEST_F(AmxEmulator, DecodesAddresses) {
  std::vector<std::uint8_t> bytes = RandomBytes(4096);
  const std::uint8_t* base = bytes.data();
  std::uint8_t got[16];
  ConfigureAll(1, 16);
  const auto expect = [&](std::ptrdiff_t offset) {
    asm volatile("tilestored %%tmm3, (%0,%1)" : : "r"(got), "r"(std::int64_t{0}) : "memory");
    EXPECT_EQ(std::memcmp(got, base + offset, sizeof got), 0) << offset;
    _tile_zero(3);
  };
  FinishStores();
  asm volatile("tileloadd (%0,%1), %%tmm3" : : "r"(base), "r"(std::int64_t{64}));
  expect(0);
  asm volatile("tileloadd -16(%0,%1,4), %%tmm3" : : "r"(base + 32), "r"(std::int64_t{64}));
  expect(16);
  asm volatile("tileloadd 0x400(%0), %%tmm3" : : "r"(base));  // SIB without index: the stride is 0
  expect(0x400);
  asm volatile("mov %0, %%r12; mov $64, %%r13; tileloaddt1 0x20(%%r12,%%r13,2), %%tmm3" : : "r"(base) : "r12", "r13");
  expect(0x20);
  asm volatile("mov %0, %%r13; mov $64, %%r12; tileloadd (%%r13,%%r12), %%tmm3" : : "r"(base) : "r12", "r13");
  expect(0);
  asm volatile("mov %0, %%rbx; xor %%edi, %%edi; tileloadd 0x123(%%rbx,%%rdi,8), %%tmm3" : : "r"(base) : "rbx", "rdi");
  expect(0x123);
}

// A configuration without SIB: relative to a register, to a symbol, with an index.
TEST_F(AmxEmulator, DecodesAddressesOfConfigurations) {
  static Configuration configurations[2];
  configurations[0].Set(1, 2, 4);
  configurations[1].Set(2, 3, 8);
  FinishStores();
  asm volatile("ldtilecfg 64(%0)" : : "r"(configurations));
  EXPECT_TRUE(Stored() == configurations[1]);
  asm volatile("ldtilecfg (%0,%1,8)" : : "r"(configurations), "r"(std::int64_t{8}));
  EXPECT_TRUE(Stored() == configurations[1]);
  asm volatile("ldtilecfg %0" : : "m"(configurations[0]));
  EXPECT_TRUE(Stored() == configurations[0]);
}

struct Shape {
  int m;
  int n;
  int k;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {16, 16, 16}, {7, 16, 3}, {16, 5, 1}, {1, 16, 16}, {16, 1, 7}, {7, 5, 16}};

template <typename T, std::size_t N>
void FillRandom(T (&values)[N], std::mt19937& rng) {
  for (auto* at = reinterpret_cast<std::uint8_t*>(values); at != reinterpret_cast<std::uint8_t*>(values + N); ++at) {
    *at = static_cast<std::uint8_t>(rng());
  }
}

// c [m, n] += a [m, 4 k] b [k, n, 4], by one instruction; some of the sums wrap around.
template <typename A, typename B, typename Multiply>
void ExpectProduct(Shape shape, std::mt19937& rng, const Multiply& multiply) {
  A a[16][64];
  B b[16][16][4];
  std::int32_t c[16][16];
  std::int32_t want[16][16];
  FillRandom(a, rng);
  FillRandom(b, rng);
  FillRandom(c, rng);
  std::memcpy(want, c, sizeof c);
  for (int i = 0; i < shape.m; ++i) {
    for (int j = 0; j < shape.n; ++j) {
      std::int64_t sum = c[i][j];
      for (int p = 0; p < 4 * shape.k; ++p) {
        sum += std::int64_t{a[i][p]} * b[p / 4][j][p % 4];
      }
      want[i][j] = static_cast<std::int32_t>(sum);
    }
  }
  Configuration configuration;
  configuration.Set(0, shape.m, 4 * shape.n);
  configuration.Set(1, shape.m, 4 * shape.k);
  configuration.Set(2, shape.k, 4 * shape.n);
  Load(configuration);
  FinishStores();
  _tile_loadd(0, c, 64);
  _tile_loadd(1, a, 64);
  _tile_loadd(2, b, 64);
  multiply();
  _tile_stored(0, c, 64);
  EXPECT_EQ(std::memcmp(c, want, sizeof c), 0) << shape.m << ' ' << shape.n << ' ' << shape.k;
}

TEST_F(AmxEmulator, MultipliesBytes) {
  for (const Shape shape : kShapes) {
    ExpectProduct<std::uint8_t, std::int8_t>(shape, rng_, [] { _tile_dpbusd(0, 1, 2); });
    ExpectProduct<std::int8_t, std::uint8_t>(shape, rng_, [] { _tile_dpbsud(0, 1, 2); });
    ExpectProduct<std::uint8_t, std::uint8_t>(shape, rng_, [] { _tile_dpbuud(0, 1, 2); });
    ExpectProduct<std::int8_t, std::int8_t>(shape, rng_, [] { _tile_dpbssd(0, 1, 2); });
  }
}

std::uint16_t BF16(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::uint16_t>(bits >> 16);
}

// c [3, 5] + a [3, 32] b [32, 5]
struct ProductBF16 {
  float c[3][5] = {};
  float a[3][32] = {};
  float b[32][5] = {};

  void Run() {
    std::uint16_t a_tile[3][32];
    std::uint16_t b_tile[16][5][2];
    for (int p = 0; p < 32; ++p) {
      for (int i = 0; i < 3; ++i) {
        a_tile[i][p] = BF16(a[i][p]);
      }
      for (int j = 0; j < 5; ++j) {
        b_tile[p / 2][j][p % 2] = BF16(b[p][j]);
      }
    }
    Configuration configuration;
    configuration.Set(5, 3, 20);
    configuration.Set(6, 3, 64);
    configuration.Set(7, 16, 20);
    Load(configuration);
    FinishStores();
    _tile_loadd(5, c, 20);
    _tile_loadd(6, a_tile, 64);
    _tile_loadd(7, b_tile, 20);
    _tile_dpbf16ps(5, 6, 7);
    _tile_stored(5, c, 20);
  }
};

// Of small integers every order gives the same sum.
TEST_F(AmxEmulator, MultipliesBF16) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    GTEST_SKIP() << "the emulator multiplies bfloat16 with AVX2 and FMA";
  }
  ProductBF16 product;
  double want[3][5] = {};
  for (int p = 0; p < 32; ++p) {
    for (int i = 0; i < 15; ++i) {
      product.a[i / 5][p] = static_cast<float>(static_cast<int>(rng_() % 255) - 127);
      product.b[p][i % 5] = static_cast<float>(static_cast<int>(rng_() % 255) - 127);
    }
    for (int i = 0; i < 15; ++i) {
      want[i / 5][i % 5] += static_cast<double>(product.a[i / 5][p]) * product.b[p][i % 5];
    }
  }
  product.c[2][3] = 7;
  want[2][3] += 7;
  product.c[0][0] = HUGE_VALF;
  want[0][0] = HUGE_VAL;
  product.Run();
  for (int i = 0; i < 15; ++i) {
    EXPECT_EQ(product.c[i / 5][i % 5], want[i / 5][i % 5]) << i;
  }
}

// The even factors are summed apart from the odd ones, and what is denormal is 0.
TEST_F(AmxEmulator, RoundsBF16AsTheCpuDoes) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    GTEST_SKIP() << "the emulator multiplies bfloat16 with AVX2 and FMA";
  }
  ProductBF16 product;
  for (int p = 0; p < 4; ++p) {
    product.a[0][p] = product.a[1][p] = product.a[2][p] = 1;
  }
  product.b[0][0] = 0x1p24F;  // 2^24 + 1 is 2^24, but here the 1s meet first
  product.b[1][0] = product.b[3][0] = 1;
  product.b[0][1] = 0x1p-127F;  // denormal
  product.b[0][2] = 0x1p-126F;  // not
  product.c[1][3] = 0x1p-127F;
  product.Run();
  EXPECT_EQ(product.c[0][0], 0x1p24F + 2);
  EXPECT_EQ(product.c[0][1], 0);
  EXPECT_EQ(product.c[0][2], 0x1p-126F);
  EXPECT_EQ(product.c[1][3], 0);
}

TEST_F(AmxEmulator, LoadingAConfigurationClearsTheTiles) {
  const std::vector<std::uint8_t> ones(1024, 1);
  std::vector<std::uint8_t> out(1024, 2);
  ConfigureAll(16, 64);
  FinishStores();
  _tile_loadd(4, ones.data(), 64);
  ConfigureAll(16, 64);
  _tile_stored(4, out.data(), 64);
  EXPECT_EQ(out, std::vector<std::uint8_t>(1024, 0));
}

TEST_F(AmxEmulator, EveryThreadHasTilesOfItsOwn) {
  const std::vector<std::uint8_t> in = RandomBytes(64);
  std::vector<std::uint8_t> out(64);
  ConfigureAll(1, 64);
  FinishStores();
  _tile_loadd(0, in.data(), 64);
  std::thread([] {
    EXPECT_EQ(Stored().palette, 0);
    ConfigureAll(2, 16);
    _tile_zero(0);
    _tile_release();
  }).join();
  EXPECT_EQ(Stored().row_bytes[0], 64);
  _tile_stored(0, out.data(), 64);
  EXPECT_EQ(out, in);
}

TEST_F(AmxEmulator, Counts) {
  if (!Emulated()) {
    GTEST_SKIP() << "this CPU has AMX";
  }
  const AmxCounts before = EmulatedAmx();
  alignas(64) std::uint8_t bytes[64] = {};
  ConfigureAll(1, 4);
  _tile_loadd(0, bytes, 4);
  _tile_stream_loadd(1, bytes, 4);
  _tile_dpbusd(0, 1, 2);
  _tile_stored(0, bytes, 4);
  const AmxCounts after = EmulatedAmx();
  EXPECT_EQ(after.configurations - before.configurations, 1);
  EXPECT_EQ(after.loads - before.loads, 1);
  EXPECT_EQ(after.stream_loads - before.stream_loads, 1);
  EXPECT_EQ(after.products - before.products, 1);
  EXPECT_EQ(after.stores - before.stores, 1);
}

using AmxEmulatorDeathTest = AmxEmulator;

TEST_F(AmxEmulatorDeathTest, FaultsWhereTheCpuDoes) {
  if (!Emulated()) {
    GTEST_SKIP() << "this CPU has AMX, and says less";
  }
  std::uint8_t bytes[1024] = {};
  const auto with = [](auto change) {
    Configuration configuration;
    for (int tile = 0; tile < 8; ++tile) {
      configuration.Set(tile, 16, 64);
    }
    change(configuration);
    Load(configuration);
  };
  EXPECT_DEATH(_tile_loadd(0, bytes, 64), "tileloadd: #UD: tiles are not configured");
  EXPECT_DEATH(_tile_zero(0), "tilezero: #UD: tiles are not configured");
  EXPECT_DEATH(with([](Configuration& c) { c.palette = 2; }), "ldtilecfg: #GP: the palette");
  EXPECT_DEATH(with([](Configuration& c) { c.reserved[13] = 1; }), "ldtilecfg: #GP: a reserved byte");
  EXPECT_DEATH(with([](Configuration& c) { c.rows[8] = 1; }), "#GP: there are 8 tiles only");
  EXPECT_DEATH(with([](Configuration& c) { c.row_bytes[15] = 4; }), "#GP: there are 8 tiles only");
  EXPECT_DEATH(with([](Configuration& c) { c.rows[1] = 17; }), "#GP: a tile of more than 16 rows");
  EXPECT_DEATH(with([](Configuration& c) { c.row_bytes[7] = 65; }), "#GP: a row of more than 64 bytes");
  EXPECT_DEATH(with([](Configuration& c) { c.rows[3] = 0; }), "#GP: a tile with rows but no bytes");
  const auto multiply_with = [&](int tile, int rows, int row_bytes) {
    with([&](Configuration& c) { c.Set(tile, rows, row_bytes); });
    _tile_dpbusd(0, 1, 2);
  };
  multiply_with(3, 1, 1);
  EXPECT_DEATH(multiply_with(0, 15, 64), "tdpbusd: #UD: rows of the sums");
  EXPECT_DEATH(multiply_with(1, 16, 60), "tdpbusd: #UD: the first factor's bytes");
  EXPECT_DEATH(multiply_with(2, 16, 60), "tdpbusd: #UD: bytes of the sums'");
  EXPECT_DEATH(multiply_with(1, 16, 62), "tdpbusd: #UD: bytes that are no multiple of 4");
  EXPECT_DEATH(multiply_with(2, 0, 0), "tdpbusd: #UD: a tile that is not configured");
  // tdpbssd %tmm1, %tmm3, %tmm3, which assemblers refuse.
  EXPECT_DEATH(asm volatile(".byte 0xc4, 0xe2, 0x73, 0x5e, 0xdb"), "tdpbssd: #UD: an operand twice");
}

TEST_F(AmxEmulatorDeathTest, LeavesOtherIllegalInstructionsIllegal) {
  EXPECT_EXIT(__builtin_trap(), testing::KilledBySignal(SIGILL), "");
}

}  // namespace
}  // namespace laconic::kernels
