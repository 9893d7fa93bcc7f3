#include "text/replace_pattern.h"

#include <algorithm>
#include <charconv>

#include "base/utf8.h"
#include "text/json_options.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

constexpr std::size_t kMaxRepeats = 100;  // a short run is counted again from each of its characters

// Reads one expression from left to right; Fails on whatever it does not know.
class RegexReader {
 public:
  explicit RegexReader(std::string_view regex) : regex_(regex) {}

  bool AtEnd() const { return at_ == regex_.size(); }

  bool Skip(std::string_view token) {
    const bool found = regex_.substr(at_).starts_with(token);
    at_ += found ? token.size() : 0;
    return found;
  }

  // A character that stands for itself, or an escape of one. `special`: those that would mean something else.
  char32_t Character(std::string_view special) {
    if (AtEnd()) {
      Refuse();
    }
    if (!Skip("\\")) {
      const char32_t c = DecodeNext(regex_, &at_);
      if (c < 0x80 && special.find(static_cast<char>(c)) != std::string_view::npos) {
        Refuse();
      }
      return c;
    }
    constexpr std::string_view kLetters = "nrtfv";
    constexpr std::string_view kControls = "\n\r\t\f\v";
    const char escaped = AtEnd() ? '\0' : regex_[at_++];
    const std::size_t letter = kLetters.find(escaped);
    if (letter != std::string_view::npos) {
      return static_cast<char32_t>(kControls[letter]);
    }
    if (std::string_view(".[](){}*+?|^$\\/-").find(escaped) == std::string_view::npos) {
      Refuse();
    }
    return static_cast<char32_t>(escaped);
  }

  std::size_t Number() {
    std::size_t value = 0;
    const char* const end = regex_.data() + regex_.size();
    const auto [stop, error] = std::from_chars(regex_.data() + at_, end, value);
    if (error != std::errc() || value == 0 || value > kMaxRepeats) {
      Refuse();
    }
    at_ = static_cast<std::size_t>(stop - regex_.data());
    return value;
  }

  [[noreturn]] void Refuse() const { FailUnsupported("regular expression", regex_); }

 private:
  std::string_view regex_;
  std::size_t at_ = 0;
};

std::size_t FirstByte(char32_t c) {
  std::string bytes;
  AppendUtf8(c, &bytes);
  return static_cast<unsigned char>(bytes[0]);
}

// Whether white space begins with this byte.
const std::array<bool, 256>& WhiteSpaceBytes() {
  static const std::array<bool, 256> bytes = [] {
    std::array<bool, 256> found{};
    for (char32_t c = 0; c < 0x110000; ++c) {
      if ((Properties()[c] & kWhiteSpace) != 0) {
        found[FirstByte(c)] = true;
      }
    }
    return found;
  }();
  return bytes;
}

}  // namespace

ReplacePattern ReplacePattern::FromString(std::string text) {
  if (text.empty()) {
    FailUnsupported("Replace pattern", text);
  }
  ReplacePattern pattern;
  pattern.string_ = std::move(text);
  return pattern;
}

ReplacePattern ReplacePattern::FromRegex(std::string_view regex) {
  ReplacePattern pattern;
  RegexReader reader(regex);
  const auto read_item = [&](std::string_view special) {
    if (reader.Skip("\\s")) {
      pattern.white_space_ = true;
    } else {
      pattern.characters_.push_back(reader.Character(special));
    }
  };
  if (reader.Skip("[")) {
    do {
      read_item("[]^-&:");
    } while (!reader.Skip("]"));
  } else {
    read_item(".[](){}*+?|^$");
  }
  if (reader.Skip("+")) {
    pattern.max_repeats_ = std::string::npos;
  } else if (reader.Skip("{")) {
    pattern.min_repeats_ = reader.Number();
    pattern.max_repeats_ = reader.Skip(",") ? std::string::npos : pattern.min_repeats_;
    if (!reader.Skip("}")) {
      reader.Refuse();
    }
  }
  if (!reader.AtEnd()) {
    reader.Refuse();
  }
  if (pattern.white_space_) {
    pattern.begins_match_ = WhiteSpaceBytes();
  }
  for (const char32_t c : pattern.characters_) {
    pattern.begins_match_[FirstByte(c)] = true;
  }
  return pattern;
}

bool ReplacePattern::Holds(char32_t c) const {
  return characters_.find(c) != std::u32string::npos || (white_space_ && (Properties()[c] & kWhiteSpace) != 0);
}

std::size_t ReplacePattern::FindCandidate(std::string_view text, std::size_t at) const {
  if (!string_.empty()) {
    return std::min(text.find(string_, at), text.size());
  }
  while (at < text.size() && !begins_match_[static_cast<unsigned char>(text[at])]) {
    ++at;
  }
  return at;
}

std::size_t ReplacePattern::MatchAt(std::string_view text, std::size_t at) const {
  if (!string_.empty()) {
    return text.substr(at).starts_with(string_) ? string_.size() : 0;
  }
  std::size_t end = at;
  std::size_t repeats = 0;
  while (repeats < max_repeats_ && end < text.size()) {
    std::size_t next = end;
    if (!Holds(DecodeNext(text, &next))) {
      break;
    }
    end = next;
    ++repeats;
  }
  return repeats >= min_repeats_ ? end - at : 0;
}

void ReplacePattern::AppendReplaced(std::string_view text, std::string_view content, std::string* out) const {
  std::size_t copied = 0;
  for (std::size_t at = FindCandidate(text, 0); at < text.size(); at = FindCandidate(text, at)) {
    const std::size_t match = MatchAt(text, at);
    if (match == 0) {
      DecodeNext(text, &at);
      continue;
    }
    out->append(text, copied, at - copied);
    out->append(content);
    at += match;
    copied = at;
  }
  out->append(text, copied);
}

}  // namespace laconic::text
