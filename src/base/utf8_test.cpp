#include "base/utf8.h"

#include <gtest/gtest.h>

namespace laconic {
namespace {

TEST(Utf8Test, EveryCodePointSurvivesARoundTrip) {
  for (char32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point <= 0xDFFF) {
      continue;
    }
    std::string text;
    AppendUtf8(code_point, &text);
    ASSERT_EQ(FindInvalidUtf8(text), std::string_view::npos) << std::hex << static_cast<unsigned>(code_point);
    std::size_t position = 0;
    ASSERT_EQ(DecodeUtf8(text, &position), code_point);
    ASSERT_EQ(position, text.size());
  }
}

TEST(Utf8Test, FindsWhatIsNotUtf8) {
  EXPECT_EQ(FindInvalidUtf8("ab\x80"), 2U);
  EXPECT_EQ(FindInvalidUtf8("\xC0\xAF"), 0U);          // overlong
  EXPECT_EQ(FindInvalidUtf8("\xED\xA0\x80"), 0U);      // a surrogate
  EXPECT_EQ(FindInvalidUtf8("\xF4\x90\x80\x80"), 0U);  // above U+10FFFF
  EXPECT_EQ(FindInvalidUtf8("a\xE0\xA6"), 1U);         // cut off
  EXPECT_EQ(FindInvalidUtf8(std::string_view("a\xE0\xA6\x95").substr(0, 3)), 1U) << "what lies behind is not looked at";
}

}  // namespace
}  // namespace laconic
