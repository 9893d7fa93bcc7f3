// The patterns of Hugging Face's Replace normalizer that occur in tokenizer.json files: a plain string, or a regular
// expression of one character or class, repeated or not ("\s+", " {2,}", "[\r\n\t]"). Every other expression is
// refused: engines differ in what it would match.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace laconic::text {

class ReplacePattern {
 public:
  // Errors: kUnsupported for an empty string.
  static ReplacePattern FromString(std::string text);
  // Errors: kUnsupported for an expression of another kind.
  static ReplacePattern FromRegex(std::string_view regex);

  // Appends `text` with every match, leftmost and longest first, replaced by `content`.
  void AppendReplaced(std::string_view text, std::string_view content, std::string* out) const;

 private:
  bool Holds(char32_t c) const;  // is `c` of the class?
  // The next place at which a match may begin.
  std::size_t FindCandidate(std::string_view text, std::size_t at) const;
  // Bytes of the match at `at`; 0 if there is none.
  std::size_t MatchAt(std::string_view text, std::size_t at) const;

  std::string string_;           // not empty: the plain string
  std::u32string characters_;    // else: the class,
  bool white_space_ = false;     // with or without all white space,
  std::size_t min_repeats_ = 1;  // and how often
  std::size_t max_repeats_ = 1;
  std::array<bool, 256> begins_match_{};  // whether a character of the class begins with this byte
};

}  // namespace laconic::text
