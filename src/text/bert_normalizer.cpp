#include <algorithm>
#include <vector>

#include "base/utf8.h"
#include "text/normalization_form.h"
#include "text/normalizer.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

constexpr char32_t kReplacementCharacter = 0xFFFD;

// All four steps in one pass over the characters. The only state is a run of marks that accent stripping keeps (they
// are not "nonspacing") but that NFD may have to reorder.
class BertPass {
 public:
  BertPass(const BertNormalizerOptions& options, std::string* out)
      : options_(options), strips_(options.strip_accents.value_or(options.lowercase)), out_(*out) {}

  void Add(char32_t c) {
    const std::uint32_t properties = table_[c];
    if (options_.clean_text) {
      const bool control = (properties & kOther) != 0 || c == kReplacementCharacter;
      if (control) {
        return;
      }
      c = (properties & kWhiteSpace) != 0 ? U' ' : c;
    }
    const bool spaced = options_.handle_chinese_chars && (properties & kChinese) != 0;
    if (spaced) {
      AddDecomposed(U' ');
    }
    AddDecomposed(c);
    if (spaced) {
      AddDecomposed(U' ');
    }
  }

  void Flush() {
    std::ranges::stable_sort(marks_, {}, [&](char32_t c) { return table_[c] & kCombiningClassMask; });
    for (const char32_t mark : marks_) {
      Put(mark);
    }
    marks_.clear();
  }

 private:
  void AddDecomposed(char32_t c) {
    if (!strips_) {
      Put(c);
      return;
    }
    char32_t storage[3];
    const bool whole = (table_[c] & kDecomposes) == 0 && !IsHangulSyllable(c);
    for (const char32_t part : whole ? std::u32string_view(&c, 1) : Decompose(c, /*compatibly=*/false, storage)) {
      const std::uint32_t properties = table_[part];
      const bool starter = (properties & kCombiningClassMask) == 0;
      if (starter && !marks_.empty()) {
        Flush();
      }
      if ((properties & kNonspacingMark) != 0) {
        continue;
      }
      if (starter) {
        Put(part);
      } else {
        marks_.push_back(part);
      }
    }
  }

  void Put(char32_t c) {
    if (options_.lowercase) {
      AppendLowercase(c, &out_);
    } else {
      AppendUtf8(c, &out_);
    }
  }

  const PropertyTable& table_ = Properties();
  const BertNormalizerOptions& options_;
  bool strips_;
  std::string& out_;
  std::vector<char32_t> marks_;
};

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const BertNormalizerOptions& options) : options_(options) {
    for (char32_t c = 0; c < ascii_.size(); ++c) {
      std::string mapped;
      BertPass(options_, &mapped).Add(c);
      ascii_[c] = mapped.empty() ? kDropped : mapped.front();
    }
  }

  void Append(std::string_view text, std::string* out) const override {
    BertPass pass(options_, out);
    bool marks_may_wait = false;
    for (std::size_t at = 0; at < text.size();) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte >= ascii_.size()) {
        pass.Add(DecodeNext(text, &at));
        marks_may_wait = true;
        continue;
      }
      ++at;
      if (ascii_[byte] != kDropped) {
        if (marks_may_wait) {
          pass.Flush();
          marks_may_wait = false;
        }
        out->push_back(ascii_[byte]);
      }
    }
    pass.Flush();
  }

 private:
  static constexpr char kDropped = '\x80';  // no ASCII character
  BertNormalizerOptions options_;
  std::array<char, 128> ascii_{};  // of each ASCII character what it becomes
};

}  // namespace

std::unique_ptr<Normalizer> MakeBertNormalizer(const BertNormalizerOptions& options) {
  return std::make_unique<BertNormalizer>(options);
}

}  // namespace laconic::text
