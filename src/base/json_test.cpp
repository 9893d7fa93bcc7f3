#include "base/json.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "laconic/error.h"

namespace laconic {
namespace {

TEST(JsonTest, ReadsValuesWithFallback) {
  const nlohmann::json object = ParseJson("\xEF\xBB\xBF{\"a\": 3, \"b\": null, \"c\": 1e30, \"d\": \"x\"}");
  EXPECT_EQ(JsonValueOr<std::int64_t>(object, "a", 7), 3);
  EXPECT_EQ(JsonValueOr<std::int64_t>(object, "b", 7), 7);
  EXPECT_GT(JsonValueOr<std::int64_t>(object, "c", 7), std::int64_t{1} << 62);
  EXPECT_THROW(JsonValueOr<std::int64_t>(object, "d", 7), Error);
}

TEST(JsonTest, RefusesHostileText) {
  EXPECT_THROW(ParseJson("{\"a\": 1} x"), Error);
  EXPECT_THROW(ParseJson("\"\xff\""), Error);
  EXPECT_THROW(ParseJson(std::string(1000000, '[')), Error);
  EXPECT_THROW(ParseJson(""), Error);
}

}  // namespace
}  // namespace laconic
