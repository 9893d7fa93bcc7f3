// main of the tests that run once for each kernel level: exit status 77 (skipped) where the CPU lacks the level that
// LACONIC_FORCE_ISA names (AMX is emulated there), 1 if another level would run.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <gtest/gtest.h>

#include "kernels/amx_emulator.h"
#include "kernels/isa.h"
#include "laconic/error.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  try {
    const std::string_view level = laconic::kernels::ToString(laconic::kernels::ActiveIsa());
    const char* forced = std::getenv("LACONIC_FORCE_ISA");
    if (forced != nullptr && level != forced) {
      std::fprintf(stderr, "LACONIC_FORCE_ISA=%s, but another level runs\n", forced);
      return 1;
    }
#if LACONIC_HAVE_AMX
    if (level == "amx") {
      const bool emulated = laconic::kernels::ProvideAmx() == laconic::kernels::AmxSource::kEmulator;
      std::printf("AMX: %s\n", emulated ? "emulated, because this CPU lacks it" : "this CPU's own");
    }
#endif
  } catch (const laconic::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.code() == laconic::ErrorCode::kUnsupported ? 77 : 1;
  }
  return RUN_ALL_TESTS();
}
