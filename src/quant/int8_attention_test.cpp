#include "quant/int8_attention.h"

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quant/dynamic.h"
#include "quant/testing.h"

namespace laconic::quant {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

using Floats = std::vector<float>;

struct Codes {
  float step = 0;
  std::vector<std::int8_t> q;
};

Codes Quantize(const Floats& x) {
  Codes codes = {0, std::vector<std::int8_t>(x.size(), 77)};
  codes.step = QuantizeVectorS8(x, codes.q);
  return codes;
}

Floats Attend(const Floats& query, const Floats& key, const Floats& value, std::size_t width, float scale = 1) {
  Floats out(query.size(), 77);
  Int8Attention(query, key, value, width, scale, out);
  return out;
}

TEST(Int8Attention, EqualsNumPyBitForBit) {
  const nlohmann::json golden = ReadJsonFile("src/quant/testdata/int8_attention_golden.json");
  for (const nlohmann::json& test_case : golden.at("cases")) {
    testing::Random random(test_case.at("seed"));
    const std::int64_t width = test_case.at("width");
    const Floats query = random.Values(test_case.at("queries").get<std::int64_t>() * width);
    const Floats key = random.Values(test_case.at("keys").get<std::int64_t>() * width);
    const Floats value = random.Values(test_case.at("keys").get<std::int64_t>() * width);
    std::vector<std::uint32_t> bits;
    for (const float x : Attend(query, key, value, static_cast<std::size_t>(width), test_case.at("scale"))) {
      bits.push_back(std::bit_cast<std::uint32_t>(x));
    }
    EXPECT_EQ(bits, test_case.at("out").get<std::vector<std::uint32_t>>()) << test_case.at("keys");
  }
}

TEST(Int8Attention, CodesReach127AndTiesGoToEven) {
  const Codes codes = Quantize({-127, 63.5F, 62.5F, 0, 127});
  EXPECT_EQ(codes.step, 1);
  EXPECT_THAT(codes.q, ElementsAre(-127, 64, 62, 0, 127));
}

TEST(Int8Attention, ZeroesAndTinyVectorsGetTheLeastStep) {
  for (const Floats& x : {Floats(5, 0.0F), Floats(), Floats{4e-13F, -1e-40F}}) {
    const Codes codes = Quantize(x);
    EXPECT_EQ(codes.step, kMinDynamicScale);
    EXPECT_THAT(codes.q, Each(0));
  }
}

// A key of 1s and one of 0s, whose score lies ln 255 and more below: codes 255 and 0, so the other value has no part.
TEST(Int8Attention, WeightsAreCodes) {
  const Floats first = Attend({1, 1}, {1, 1, 0, 0}, {3, -2, 1, 1}, 2, 4);
  EXPECT_FLOAT_EQ(first[0], 3);
  EXPECT_FLOAT_EQ(first[1], -2);
  const Floats alike = Attend({1, 1}, {1, 1, 1, 1}, {3, -2, 1, 1}, 2, 4);
  EXPECT_NEAR(alike[0], 2, 3 / 254.0);
  EXPECT_NEAR(alike[1], -.5, 2 / 254.0);
}

TEST(Int8Attention, WithoutKeysGivesZeros) { EXPECT_THAT(Attend({1, 2, 3, NAN}, {}, {}, 2), Each(0)); }

TEST(Int8Attention, WhatIsNotFiniteIsSeen) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto are_nan = [](const Floats& x) {
    std::vector<bool> result;
    for (const float value : x) result.push_back(std::isnan(value));
    return result;
  };
  for (const float bad : {NAN, infinity, -infinity}) {
    EXPECT_TRUE(std::isnan(Quantize({1, bad}).step));
    EXPECT_THAT(Quantize({1, bad}).q, Each(0));
    EXPECT_THAT(are_nan(Attend({1, bad, 1, 1}, {1, 1, 2, 2}, {1, 1, 2, 2}, 2)), ElementsAre(true, true, false, false));
    EXPECT_THAT(are_nan(Attend({1, 1, 1, 1}, {1, 1, bad, 2}, {1, 1, 2, 2}, 2)), Each(true));
    EXPECT_THAT(are_nan(Attend({1, 1, 1, 1}, {1, 1, 2, 2}, {1, 1, 2, bad}, 2)), ElementsAre(false, true, false, true));
  }
  EXPECT_THAT(Attend({3e38F}, {3e38F}, {1}, 1), ElementsAre(::testing::IsNan())) << "a score past f32";
}

}  // namespace
}  // namespace laconic::quant
