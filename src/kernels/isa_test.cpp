#include "kernels/isa.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "laconic/error.h"

namespace laconic::kernels {
namespace {

TEST(Isa, NamesRoundTrip) {
  for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512Vnni, Isa::kAvx512BF16, Isa::kAmx}) {
    EXPECT_EQ(ParseIsa(ToString(isa)), isa);
  }
}

TEST(Isa, AnUnknownNameIsAnErrorThatListsTheKnownOnes) {
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [] { ParseIsa("mmx"); }),
              testing::HasSubstr("'mmx', expected scalar, avx2, avx_vnni, avx512_vnni, avx512_bf16 or amx"));
}

TEST(Isa, ALevelIncludesThoseBeforeIt) {
  EXPECT_TRUE(IsaSupported(Isa::kScalar));
  EXPECT_TRUE(IsaSupported(ActiveIsa()));
  EXPECT_LE(IsaSupported(Isa::kAvxVnni), IsaSupported(Isa::kAvx2));
  EXPECT_LE(IsaSupported(Isa::kAvx512Vnni), IsaSupported(Isa::kAvx2));
  EXPECT_LE(IsaSupported(Isa::kAvx512BF16), IsaSupported(Isa::kAvx512Vnni));
  EXPECT_LE(IsaSupported(Isa::kAmx), IsaSupported(Isa::kAvx512BF16));
}

TEST(Isa, TheForcedLevelIsTheActiveOne) {
  if (const char* forced = std::getenv("LACONIC_FORCE_ISA")) {
    EXPECT_EQ(ToString(ActiveIsa()), forced);
  } else {
    EXPECT_FALSE(IsaSupported(Isa::kAmx) && ActiveIsa() != Isa::kAmx);
    EXPECT_FALSE(IsaSupported(Isa::kAvx512BF16) && ActiveIsa() < Isa::kAvx512BF16);
  }
}

}  // namespace
}  // namespace laconic::kernels
