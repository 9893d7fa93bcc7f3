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

// Characters that can neither change nor take part in a change of what stands before them.
class InertTest {
 public:
  explicit InertTest(NormalizationForm form)
      : composes_(form == NormalizationForm::kNfc || form == NormalizationForm::kNfkc),
        compatibly_(form == NormalizationForm::kNfkd || form == NormalizationForm::kNfkc),
        mask_(kCombiningClassMask | kDecomposes | (compatibly_ ? kDecomposesCompatibly : 0) |
              (composes_ ? kComposesBackward : 0)) {}

  bool operator()(char32_t c) const { return (table_[c] & mask_) == 0 && (composes_ || !IsHangulSyllable(c)); }
  bool composes() const { return composes_; }
  bool compatibly() const { return compatibly_; }

 private:
  const PropertyTable& table_ = Properties();
  bool composes_;
  bool compatibly_;
  std::uint32_t mask_;
};

void AppendSegment(const InertTest& test, std::string_view text, std::vector<Character>* characters, std::string* out) {
  const PropertyTable& table = Properties();
  characters->clear();
  for (std::size_t at = 0; at < text.size();) {
    char32_t storage[3];
    for (const char32_t c : Decompose(DecodeNext(text, &at), test.compatibly(), storage)) {
      characters->push_back({c, table[c] & kCombiningClassMask});
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

void AppendNormalized(NormalizationForm form, std::string_view text, std::string* out) {
  const InertTest is_inert(form);
  std::vector<Character> scratch;
  std::size_t copied = 0;   // what stands before is in `out`
  std::size_t starter = 0;  // the last inert character: the next may join it
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t begin = at;
    if (is_inert(DecodeNext(text, &at))) {
      starter = begin;
      continue;
    }
    out->append(text, copied, starter - copied);
    std::size_t end = at;
    while (end < text.size()) {
      std::size_t next = end;
      if (is_inert(DecodeNext(text, &next))) {
        break;
      }
      end = next;
    }
    AppendSegment(is_inert, text.substr(starter, end - starter), &scratch, out);
    copied = starter = at = end;
  }
  out->append(text, copied);
}

}  // namespace laconic::text
