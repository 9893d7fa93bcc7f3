#include "text/normalization_form.h"

#include <algorithm>
#include <vector>

#include "base/utf8.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

constexpr char32_t kHangulBase = 0xAC00;
constexpr char32_t kLeadBase = 0x1100;
constexpr char32_t kVowelBase = 0x1161;
constexpr char32_t kTailBase = 0x11A7;
constexpr char32_t kNumLeads = 19;
constexpr char32_t kNumVowels = 21;
constexpr char32_t kNumTails = 28;

bool InRange(char32_t c, char32_t base, char32_t count) { return c >= base && c - base < count; }

char32_t ComposeAny(char32_t first, char32_t second) {
  if (InRange(first, kLeadBase, kNumLeads) && InRange(second, kVowelBase, kNumVowels)) {
    return kHangulBase + ((first - kLeadBase) * kNumVowels + (second - kVowelBase)) * kNumTails;
  }
  if (IsHangulSyllable(first) && (first - kHangulBase) % kNumTails == 0 && second != kTailBase &&
      InRange(second, kTailBase, kNumTails)) {
    return first + (second - kTailBase);
  }
  return Compose(first, second);
}

struct Character {
  char32_t code_point;
  std::uint32_t combining_class;
};

// Brings runs of non-starters into canonical order.
void Reorder(std::vector<Character>* characters) {
  auto begin = characters->begin();
  const auto is_starter = [](const Character& c) { return c.combining_class == 0; };
  while (begin != characters->end()) {
    begin = std::find_if_not(begin, characters->end(), is_starter);
    const auto end = std::find_if(begin, characters->end(), is_starter);
    std::stable_sort(begin, end,
                     [](const Character& a, const Character& b) { return a.combining_class < b.combining_class; });
    begin = end;
  }
}

void ComposeAll(std::vector<Character>* characters) {
  std::size_t size = 0;
  std::size_t starter = 0;
  bool have_starter = false;
  for (const Character c : *characters) {
    const bool blocked = !have_starter || (size > starter + 1 &&  // something stands between the two
                                           (*characters)[size - 1].combining_class >= c.combining_class);
    const char32_t composed = blocked ? 0 : ComposeAny((*characters)[starter].code_point, c.code_point);
    if (composed != 0) {
      (*characters)[starter].code_point = composed;
      continue;
    }
    if (c.combining_class == 0) {
      starter = size;
      have_starter = true;
    }
    (*characters)[size++] = c;
  }
  characters->resize(size);
}

// Tells, character by character, whether a text is in its form already: the quick check of UAX #15, section 9, but
// exact about pairs that might compose.
class QuickCheck {
 public:
  explicit QuickCheck(NormalizationForm form)
      : composes_(form == NormalizationForm::kNfc || form == NormalizationForm::kNfkc),
        compatibly_(form == NormalizationForm::kNfkd || form == NormalizationForm::kNfkc),
        changes_(kDecomposes | (compatibly_ ? kDecomposesCompatibly : 0)),
        mask_(kCombiningClassMask | changes_ | (composes_ ? kComposesBackward : 0)) {}

  // Characters that can neither change nor take part in a change of what stands before them.
  bool IsInert(char32_t c) const { return (table_[c] & mask_) == 0 && (composes_ || !IsHangulSyllable(c)); }

  // Characters without a decomposition.
  bool IsWhole(char32_t c) const { return (table_[c] & changes_) == 0 && !IsHangulSyllable(c); }

  // Whether the text up to and with `c`, the next character, is in the form.
  bool Passes(char32_t c) {
    const std::uint32_t combining_class = table_[c] & kCombiningClassMask;
    bool passes = IsInert(c);
    if (!passes) {
      passes = (table_[c] & changes_) == 0 && (composes_ || !IsHangulSyllable(c)) &&
               (combining_class == 0 || combining_class >= last_class_) &&
               !(composes_ && (table_[c] & kComposesBackward) != 0 && ComposesWithStarter(c, combining_class));
    }
    if (combining_class == 0) {
      starter_ = c;
    }
    last_class_ = combining_class;
    last_is_starter_ = combining_class == 0;
    return passes;
  }

  // The next character is inert.
  void Restart() {
    starter_ = 0;
    last_class_ = 0;
    last_is_starter_ = true;
  }

  bool last_is_starter() const { return last_is_starter_; }
  bool composes() const { return composes_; }
  bool compatibly() const { return compatibly_; }

 private:
  bool ComposesWithStarter(char32_t c, std::uint32_t combining_class) const {
    const bool blocked = !last_is_starter_ && last_class_ >= combining_class;
    return !blocked && ComposeAny(starter_, c) != 0;
  }

  const PropertyTable& table_ = Properties();
  bool composes_;
  bool compatibly_;
  std::uint32_t changes_;
  std::uint32_t mask_;
  char32_t starter_ = 0;  // the last character of class 0; U+0000 composes with nothing
  std::uint32_t last_class_ = 0;
  bool last_is_starter_ = true;
};

void AppendSegment(const QuickCheck& test, std::string_view text, std::vector<Character>* characters,
                   std::string* out) {
  const PropertyTable& table = Properties();
  characters->clear();
  for (std::size_t at = 0; at < text.size();) {
    char32_t storage[3];
    const char32_t c = DecodeNext(text, &at);
    if (test.IsWhole(c)) {
      characters->push_back({c, table[c] & kCombiningClassMask});
      continue;
    }
    for (const char32_t part : Decompose(c, test.compatibly(), storage)) {
      characters->push_back({part, table[part] & kCombiningClassMask});
    }
  }
  Reorder(characters);
  if (test.composes()) {
    ComposeAll(characters);
  }
  for (const Character& c : *characters) {
    AppendUtf8(c.code_point, out);
  }
}

}  // namespace

std::u32string_view Decompose(char32_t c, bool compatibly, char32_t (&storage)[3]) {
  if (!IsHangulSyllable(c)) {
    return compatibly ? CompatibilityDecompositionOf(c, storage) : CanonicalDecompositionOf(c, storage);
  }
  const char32_t index = c - kHangulBase;
  storage[0] = kLeadBase + index / (kNumVowels * kNumTails);
  storage[1] = kVowelBase + index / kNumTails % kNumVowels;
  storage[2] = kTailBase + index % kNumTails;
  return {storage, index % kNumTails == 0 ? 2U : 3U};
}

void AppendNormalizedByDefinition(NormalizationForm form, std::string_view text, std::string* out) {
  std::vector<Character> characters;
  AppendSegment(QuickCheck(form), text, &characters, out);
}

void AppendNormalized(NormalizationForm form, std::string_view text, std::string* out) {
  QuickCheck check(form);
  std::vector<Character> scratch;
  std::size_t copied = 0;   // what stands before is in `out`
  std::size_t starter = 0;  // the last character of class 0: the next may join it, and nothing before it changes
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t begin = at;
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      // ASCII is inert in every form; only the last of a run can matter to what follows.
      while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) {
        ++at;
      }
      starter = at - 1;
      check.Passes(static_cast<char32_t>(text[starter]));
      continue;
    }
    if (check.Passes(DecodeNext(text, &at))) {
      starter = check.last_is_starter() ? begin : starter;
      continue;
    }
    out->append(text, copied, starter - copied);
    std::size_t end = at;
    while (end < text.size()) {
      std::size_t next = end;
      if (check.IsInert(DecodeNext(text, &next))) {
        break;
      }
      end = next;
    }
    AppendSegment(check, text.substr(starter, end - starter), &scratch, out);
    copied = starter = at = end;
    check.Restart();
  }
  out->append(text, copied);
}

}  // namespace laconic::text
