#include "base/json.h"

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/testing.h"
#include "laconic/error.h"

namespace laconic {
namespace {

using ::testing::StartsWith;

TEST(JsonTest, ReadsValuesWithFallback) {
  const nlohmann::json object = ParseJson("\xEF\xBB\xBF{\"a\": 3, \"b\": null, \"c\": 1e30, \"d\": \"x\"}");
  EXPECT_EQ(JsonValueOr<std::int64_t>(object, "a", 7), 3);
  EXPECT_EQ(JsonValueOr<std::int64_t>(object, "b", 7), 7);
  EXPECT_GT(JsonValueOr<std::int64_t>(object, "c", 7), std::int64_t{1} << 62);
  EXPECT_THROW(JsonValueOr<std::int64_t>(object, "d", 7), Error);
  EXPECT_THROW(JsonValueOr<std::int64_t>(ParseJson(R"({"a": 3.5})"), "a", 7), Error);
}

TEST(JsonTest, RefusesHostileText) {
  EXPECT_THROW(ParseJson("{\"a\": 1} x"), Error);
  EXPECT_THROW(ParseJson("\"\xff\""), Error);
  EXPECT_THROW(ParseJson(std::string(1000000, '[')), Error);
  EXPECT_THROW(ParseJson(""), Error);
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(ParseJson(nested(kMaxJsonDepth)));
  EXPECT_THROW(ParseJson(nested(kMaxJsonDepth + 1)), Error);
}

TEST(JsonTest, SaysWhereTextIsMalformed) {
  const auto message_of = [](std::string_view text) { return ErrorOf([&] { ParseJson(text); }); };
  EXPECT_THAT(message_of("{\"a\":}"), StartsWith("invalid file: malformed JSON at column 6: syntax error while"));
  EXPECT_THAT(message_of("{\n\"a\":}"),
              StartsWith("invalid file: malformed JSON at line 2, column 5: syntax error while"));
  EXPECT_THAT(message_of("1e999"), StartsWith("invalid file: malformed JSON: number overflow"));
}

TEST(JsonTest, TheOutlineSkipsStrings) {
  const JsonOutline outline = ScanJson(R"({"[:{": [{"b": 1}], "\\\":[": ":", "a": {}})");
  EXPECT_EQ(outline.depth, 3);
  EXPECT_EQ(outline.num_members, 3U);
}

TEST(JsonTest, ManyObjectsTakeLinearTime) {
  std::string text = "[{}";
  for (int i = 1; i < 300000; ++i) {
    text += ",{}";
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(ParseJson(text + "]").size(), 300000U);
  // Some 0.05 s; a minute where each object's end walks over those before it.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

}  // namespace
}  // namespace laconic
