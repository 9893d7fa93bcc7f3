#include "text/grapheme.h"

#include "text/unicode.h"

namespace laconic::text {
namespace {

constexpr char32_t kZeroWidthJoiner = 0x200D;

bool IsRegionalIndicator(char32_t c) { return c >= 0x1F1E6 && c <= 0x1F1FF; }

bool IsControl(GraphemeClass c) { return c == GraphemeClass::kControl; }

// What the characters of a cluster so far decide about the next.
class ClusterState {
 public:
  ClusterState(char32_t c, std::uint32_t properties) { Add(c, properties); }

  void Add(char32_t c, std::uint32_t properties) {
    const GraphemeClass grapheme = GraphemeClassOf(properties);
    const IndicClass indic = IndicClassOf(properties);
    // GB11: a pictograph, any Extend, a joiner.
    joiner_after_pictograph_ = pictograph_ && c == kZeroWidthJoiner;
    pictograph_ = (properties & kPictographic) != 0 || (pictograph_ && grapheme == GraphemeClass::kExtend);
    // GB9c: a consonant, then Extend and Linker of which at least one is a Linker.
    linked_ = consonant_ && (indic == IndicClass::kLinker || (linked_ && indic == IndicClass::kExtend));
    consonant_ = indic == IndicClass::kConsonant ||
                 (consonant_ && (indic == IndicClass::kLinker || indic == IndicClass::kExtend));
    odd_regional_indicators_ = IsRegionalIndicator(c) && !odd_regional_indicators_;
    last_ = c;
    last_class_ = grapheme;
  }

  bool ContinuesWith(char32_t c, std::uint32_t properties) const {
    const GraphemeClass grapheme = GraphemeClassOf(properties);
    if (IsControl(last_class_) || IsControl(grapheme)) {
      return last_ == U'\r' && c == U'\n';  // GB3-GB5
    }
    if (grapheme == GraphemeClass::kExtend || grapheme == GraphemeClass::kSpacingMark || c == kZeroWidthJoiner ||
        last_class_ == GraphemeClass::kPrepend) {
      return true;  // GB9, GB9a, GB9b
    }
    return JoinsHangul(c, grapheme) || (linked_ && IndicClassOf(properties) == IndicClass::kConsonant) ||
           (joiner_after_pictograph_ && (properties & kPictographic) != 0) ||
           (odd_regional_indicators_ && IsRegionalIndicator(c));  // GB6-GB8, GB9c, GB11, GB12-GB13
  }

 private:
  bool JoinsHangul(char32_t c, GraphemeClass grapheme) const {
    const bool last_is_lv = IsHangulSyllable(last_) && (last_ - 0xAC00) % 28 == 0;
    if (last_class_ == GraphemeClass::kHangulL) {
      return grapheme == GraphemeClass::kHangulL || grapheme == GraphemeClass::kHangulV || IsHangulSyllable(c);
    }
    if (last_class_ == GraphemeClass::kHangulV || last_is_lv) {
      return grapheme == GraphemeClass::kHangulV || grapheme == GraphemeClass::kHangulT;
    }
    return (last_class_ == GraphemeClass::kHangulT || IsHangulSyllable(last_)) && grapheme == GraphemeClass::kHangulT;
  }

  char32_t last_ = 0;
  GraphemeClass last_class_ = GraphemeClass::kNone;
  bool pictograph_ = false;
  bool joiner_after_pictograph_ = false;
  bool consonant_ = false;
  bool linked_ = false;
  bool odd_regional_indicators_ = false;
};

}  // namespace

std::size_t GraphemeEnd(std::string_view text, std::size_t at) {
  const PropertyTable& table = Properties();
  const char32_t first = DecodeNext(text, &at);
  ClusterState state(first, table[first]);
  while (at < text.size()) {
    std::size_t next = at;
    const char32_t c = DecodeNext(text, &next);
    const std::uint32_t properties = table[c];
    if (!state.ContinuesWith(c, properties)) {
      break;
    }
    state.Add(c, properties);
    at = next;
  }
  return at;
}

}  // namespace laconic::text
