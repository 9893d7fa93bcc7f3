#include "kernels/amx_emulator.h"

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <string_view>

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "kernels/amx.h"

namespace laconic::kernels {
namespace {

constexpr int kTiles = 8;
constexpr int kMaxRows = 16;
constexpr int kMaxRowBytes = 64;

// As in memory.
struct Configuration {
  std::uint8_t palette;  // 0: tiles are not configured
  std::uint8_t start_row;
  std::uint8_t reserved[14];
  std::uint16_t row_bytes[16];
  std::uint8_t rows[16];
};
static_assert(sizeof(Configuration) == 64);

// Beyond a tile's rows and row_bytes its data is always zero.
struct State {
  Configuration configuration = {};
  std::uint8_t data[kTiles][kMaxRows][kMaxRowBytes] = {};
  AmxCounts counts;
};
constinit thread_local State state = {};

enum class Prefix : std::uint8_t { kNone, k66, kF3, kF2 };  // as VEX encodes it

// VEX.128.prefix.0F38.W0 opcode ModRM [SIB] [displacement].
struct Instruction {
  Prefix prefix;
  std::uint8_t opcode;
  bool in_memory;  // the operand of ModRM
  bool has_sib;
  int reg;  // the three register fields
  int rm;
  int vvvv;
  std::uint8_t* address;  // of base and displacement
  std::int64_t index;     // times its scale
  int length;
};

[[noreturn]] void Fault(const char* fault, const char* name, const char* why) {
  std::fprintf(stderr, "AMX emulator: %s: %s: %s\n", name, fault, why);
  std::abort();
}

// Where the CPU raises #UD, which Linux reports as SIGILL, or #GP, as SIGSEGV.
void Require(bool holds, const char* name, const char* why) {
  if (!holds) {
    Fault("#UD", name, why);
  }
}
void RequireProtection(bool holds, const char* name, const char* why) {
  if (!holds) {
    Fault("#GP", name, why);
  }
}

std::int64_t Register(const gregset_t& registers, int number) {
  static constexpr int kPlaces[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return registers[kPlaces[number]];
}

template <typename T>
T Read(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// The memory operand whose ModRM is at `code` + 4. Adds its bytes to in.length, 5 before.
void DecodeMemory(const gregset_t& registers, const std::uint8_t* code, Instruction& in) {
  const int high_index = (~code[1] >> 6 & 1) * 8;
  const int high_base = (~code[1] >> 5 & 1) * 8;
  const int mod = code[4] >> 6;
  int base = code[4] & 7;
  in.has_sib = base == 4;
  if (in.has_sib) {
    const std::uint8_t sib = code[in.length++];
    const int index = (sib >> 3 & 7) + high_index;
    in.index = index == 4 ? 0 : Register(registers, index) << (sib >> 6);
    base = sib & 7;
  }
  const bool without_base = mod == 0 && base == 5;  // relative to the next instruction, or with SIB to 0
  std::int64_t address = without_base ? 0 : Register(registers, base + high_base);
  if (mod == 1) {
    address += static_cast<std::int8_t>(code[in.length]);
    in.length += 1;
  } else if (mod == 2 || without_base) {
    address += Read<std::int32_t>(code + in.length);
    in.length += 4;
  }
  if (without_base && !in.has_sib) {
    address += reinterpret_cast<std::int64_t>(code) + in.length;
  }
  in.address = reinterpret_cast<std::uint8_t*>(address);
}

// False if it cannot be an AMX instruction.
bool Decode(const gregset_t& registers, Instruction& in) {
  const auto* code = reinterpret_cast<const std::uint8_t*>(registers[REG_RIP]);
  constexpr int k0F38 = 2;
  if (code[0] != 0xC4 || (code[1] & 0x1F) != k0F38 || (code[2] & 0x84) != 0) {  // W and L are 0
    return false;
  }
  in = {.prefix = static_cast<Prefix>(code[2] & 3),
        .opcode = code[3],
        .in_memory = code[4] >> 6 != 3,
        .reg = (code[4] >> 3 & 7) + (~code[1] >> 7 & 1) * 8,
        .rm = (code[4] & 7) + (~code[1] >> 5 & 1) * 8,
        .vvvv = ~code[2] >> 3 & 15,
        .length = 5};
  if (in.in_memory) {
    DecodeMemory(registers, code, in);
  }
  return true;
}

void LoadConfiguration(const Instruction& in) {
  constexpr const char* kName = "ldtilecfg";
  Configuration next = {};
  std::memcpy(&next, in.address + in.index, sizeof next);
  RequireProtection(next.palette <= 1, kName, "the palette is neither 0 nor 1");
  if (next.palette == 1) {
    if (next.start_row != 0) {
      Fault("not emulated", kName, "a start at another row than 0");
    }
    for (const std::uint8_t byte : next.reserved) {
      RequireProtection(byte == 0, kName, "a reserved byte is not 0");
    }
    for (int tile = 0; tile < 16; ++tile) {
      RequireProtection(tile < kTiles || (next.rows[tile] == 0 && next.row_bytes[tile] == 0), kName,
                        "there are 8 tiles only");
      RequireProtection(next.rows[tile] <= kMaxRows, kName, "a tile of more than 16 rows");
      RequireProtection(next.row_bytes[tile] <= kMaxRowBytes, kName, "a row of more than 64 bytes");
      RequireProtection((next.rows[tile] == 0) == (next.row_bytes[tile] == 0), kName,
                        "a tile with rows but no bytes, or bytes but no rows");
    }
  } else {
    next = {};
  }
  state.configuration = next;
  std::memset(state.data, 0, sizeof state.data);
  ++state.counts.configurations;
}

// A tile that an instruction names.
struct Tile {
  int rows;
  int row_bytes;
  std::uint8_t (*data)[kMaxRowBytes];
};

Tile FindTile(int number, const char* name) {
  const Configuration& configuration = state.configuration;
  Require(configuration.palette == 1, name, "tiles are not configured");
  Require(number < kTiles && configuration.rows[number] > 0, name, "a tile that is not configured");
  return {configuration.rows[number], configuration.row_bytes[number], state.data[number]};
}

void Zero(const Instruction& in) {
  const Tile tile = FindTile(in.reg, "tilezero");
  std::memset(tile.data, 0, sizeof state.data[0]);
}

void Load(const Instruction& in) {
  const Tile tile = FindTile(in.reg, "tileloadd");
  for (int row = 0; row < tile.rows; ++row) {
    std::memcpy(tile.data[row], in.address + row * in.index, static_cast<std::size_t>(tile.row_bytes));
  }
  ++(in.prefix == Prefix::k66 ? state.counts.stream_loads : state.counts.loads);
}

void Store(const Instruction& in) {
  const Tile tile = FindTile(in.reg, "tilestored");
  for (int row = 0; row < tile.rows; ++row) {
    std::memcpy(in.address + row * in.index, tile.data[row], static_cast<std::size_t>(tile.row_bytes));
  }
  ++state.counts.stores;
}

// What a product takes: c [m, n] of 4 bytes, a [m, k] and b [k, n] of 4 bytes which hold 4 or 2 factors.
struct Operands {
  Tile c;
  Tile a;
  Tile b;
  std::int64_t m() const { return c.rows; }
  std::int64_t n() const { return c.row_bytes / 4; }
  std::int64_t k() const { return b.rows; }
};

Operands FindOperands(const Instruction& in, const char* name) {
  Require(in.reg != in.rm && in.rm != in.vvvv && in.reg != in.vvvv, name, "an operand twice");
  const Operands operands = {FindTile(in.reg, name), FindTile(in.rm, name), FindTile(in.vvvv, name)};
  const auto& [c, a, b] = operands;
  Require(c.row_bytes % 4 == 0 && a.row_bytes % 4 == 0 && b.row_bytes % 4 == 0, name,
          "bytes that are no multiple of 4");
  Require(c.rows == a.rows, name, "rows of the sums and of the first factor differ");
  Require(c.row_bytes == b.row_bytes, name, "bytes of the sums' and of the second factor's rows differ");
  Require(a.row_bytes == 4 * b.rows, name, "the first factor's bytes are not four times the second's rows");
  ++state.counts.products;
  return operands;
}

// sums[n] += the four products of a and b[n]. A and B: u8 or s8. The sums wrap around.
template <typename A, typename B>
void AddProducts(const std::uint8_t* a, const std::uint8_t* b, std::int64_t count, std::uint32_t* sums) {
  for (std::int64_t n = 0; n < count; ++n) {
    for (int i = 0; i < 4; ++i) {
      sums[n] += static_cast<std::uint32_t>(static_cast<A>(a[i]) * static_cast<B>(b[4 * n + i]));
    }
  }
}

template <typename A, typename B>
void MultiplyBytes(const Instruction& in, const char* name) {
  const Operands operands = FindOperands(in, name);
  for (std::int64_t m = 0; m < operands.m(); ++m) {
    std::uint32_t sums[kMaxRowBytes / 4];
    std::memcpy(sums, operands.c.data[m], sizeof sums);
    for (std::int64_t k = 0; k < operands.k(); ++k) {
      AddProducts<A, B>(operands.a.data[m] + 4 * k, operands.b.data[k], operands.n(), sums);
    }
    std::memcpy(operands.c.data[m], sums, sizeof sums);
  }
}

// Denormals are 0 on the way in and out, whatever MXCSR says.
[[gnu::always_inline]] inline float Flush(float value) {
  return std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0F, value) : value;
}

float ReadBF16(const std::uint8_t* at) {
  const std::uint32_t bits = static_cast<std::uint32_t>(Read<std::uint16_t>(at)) << 16;
  return Flush(Read<float>(reinterpret_cast<const std::uint8_t*>(&bits)));
}

using SumRow = float[kMaxRowBytes / 4];

// chains[n] += a b[n], for whole rows at once: tests multiply millions.
[[gnu::target("avx2,fma")]] void AddRow(float a, const SumRow& b, SumRow& chains) {
  for (std::size_t n = 0; n < std::size(b); ++n) {
    chains[n] = Flush(std::fma(a, b[n], chains[n]));
  }
}

// Two chains over k, of the even and of the odd factors; their sum is added to what is there.
void MultiplyBF16(const Instruction& in) {
  const Operands operands = FindOperands(in, "tdpbf16ps");
  SumRow b[kMaxRows][2] = {};
  for (std::int64_t i = 0; i < operands.k() * operands.n() * 2; ++i) {
    const std::int64_t k = i / 2 / operands.n();
    const std::int64_t n = i / 2 % operands.n();
    b[k][i % 2][n] = ReadBF16(operands.b.data[k] + 4 * n + 2 * (i % 2));
  }
  for (std::int64_t m = 0; m < operands.m(); ++m) {
    SumRow chains[2] = {};
    for (std::int64_t i = 0; i < 2 * operands.k(); ++i) {
      AddRow(ReadBF16(operands.a.data[m] + 2 * i), b[i / 2][i % 2], chains[i % 2]);
    }
    for (std::int64_t n = 0; n < operands.n(); ++n) {
      std::uint8_t* sum = operands.c.data[m] + 4 * n;
      const float total = Flush(Flush(Read<float>(sum)) + Flush(chains[0][n] + chains[1][n]));
      std::memcpy(sum, &total, sizeof total);
    }
  }
}

// opcode 49: configuration and tilezero.
bool ExecuteConfiguration(const Instruction& in) {
  if (in.vvvv != 0) {
    return false;
  }
  if (in.in_memory && in.reg % 8 == 0 && in.prefix == Prefix::kNone) {
    LoadConfiguration(in);
  } else if (in.in_memory && in.reg % 8 == 0 && in.prefix == Prefix::k66) {
    std::memcpy(in.address + in.index, &state.configuration, sizeof state.configuration);
  } else if (!in.in_memory && in.reg == 0 && in.rm == 0 && in.prefix == Prefix::kNone) {
    state.configuration = {};
    std::memset(state.data, 0, sizeof state.data);
  } else if (!in.in_memory && in.rm == 0 && in.prefix == Prefix::kF2) {
    Zero(in);
  } else {
    return false;
  }
  return true;
}

// opcode 4B: loads and stores, whose SIB is not optional.
bool ExecuteMove(const Instruction& in) {
  if (!in.in_memory || !in.has_sib || in.vvvv != 0 || in.prefix == Prefix::kNone) {
    return false;
  }
  if (in.prefix == Prefix::kF3) {
    Store(in);
  } else {
    Load(in);
  }
  return true;
}

// opcode 5E.
bool ExecuteBytes(const Instruction& in) {
  switch (in.prefix) {
    case Prefix::kNone:
      MultiplyBytes<std::uint8_t, std::uint8_t>(in, "tdpbuud");
      break;
    case Prefix::k66:
      MultiplyBytes<std::uint8_t, std::int8_t>(in, "tdpbusd");
      break;
    case Prefix::kF3:
      MultiplyBytes<std::int8_t, std::uint8_t>(in, "tdpbsud");
      break;
    case Prefix::kF2:
      MultiplyBytes<std::int8_t, std::int8_t>(in, "tdpbssd");
      break;
  }
  return true;
}

bool Execute(const Instruction& in) {
  if (in.opcode == 0x49) {
    return ExecuteConfiguration(in);
  }
  if (in.opcode == 0x4B) {
    return ExecuteMove(in);
  }
  if (in.opcode == 0x5E && !in.in_memory) {
    return ExecuteBytes(in);
  }
  if (in.opcode == 0x5C && !in.in_memory && in.prefix == Prefix::kF3) {
    MultiplyBF16(in);
    return true;
  }
  return false;
}

// Goes on with the AMX instructions that follow at once, which saves most traps of a kernel.
void OnIllegalInstruction(int signal, siginfo_t* /*info*/, void* context) {
  gregset_t& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  Instruction in = {};
  bool known = false;
  while (Decode(registers, in) && Execute(in)) {
    known = true;
    registers[REG_RIP] += in.length;
  }
  if (!known) {
    std::signal(signal, SIG_DFL);  // the instruction is met again, and ends the process
  }
}

AmxSource MakeSource() noexcept {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0) {
    return AmxSource::kCpu;
  }
  struct sigaction action = {};
  action.sa_sigaction = &OnIllegalInstruction;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, nullptr);
  return AmxSource::kEmulator;
}

}  // namespace

AmxSource ProvideAmx() noexcept {
  static const AmxSource source = MakeSource();
  return source;
}

[[gnu::target("amx-tile")]] bool TilesConfigured() noexcept {
  Configuration configuration = {};
  asm volatile("sttilecfg %0" : "=m"(configuration));
  return configuration.palette != 0;
}

AmxCounts EmulatedAmx() noexcept { return state.counts; }

bool AmxGranted() noexcept {
  const AmxSource source = ProvideAmx();
  const char* forced = std::getenv("LACONIC_FORCE_ISA");
  return source == AmxSource::kCpu || (forced != nullptr && std::string_view(forced) == "amx");
}

}  // namespace laconic::kernels
