// Any tokenizer.json either loads or is refused with an Error; what loads encodes any text, within bounds, and does so
// again when it remembers the words.
// Input: the tokenizer.json, optionally followed by a NUL byte and a text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "laconic/error.h"
#include "laconic/tokenizer.h"

namespace {

constexpr std::string_view kText = "Hello, na\u00efve [CLS] <s>\t\u0995\u09cd\u09af \u4e2d e\u0301 \ufb01 !";
constexpr std::size_t kMaxLength = 16;

void CheckEncoding(const laconic::Tokenizer& tokenizer, const laconic::Encoding& encoding) {
  bool good = encoding.ids.size() <= kMaxLength && encoding.ids.size() == encoding.type_ids.size();
  for (const std::int32_t id : encoding.ids) {
    good = good && id >= 0 && id < tokenizer.vocabulary_size();
  }
  if (!good) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  const std::string_view text = end == std::string_view::npos ? kText : input.substr(end + 1);
  try {
    const laconic::Tokenizer tokenizer = laconic::Tokenizer::FromJson(input.substr(0, end));
    const laconic::Encoding encoding = tokenizer.Encode(text, kMaxLength);
    CheckEncoding(tokenizer, encoding);
    if (tokenizer.Encode(text, kMaxLength).ids != encoding.ids) {
      std::abort();
    }
    CheckEncoding(tokenizer, tokenizer.EncodePair(text, kText, kMaxLength));
  } catch (const laconic::Error&) {  // a refusal is an answer
  }
  return 0;
}
