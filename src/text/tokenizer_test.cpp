#include "laconic/tokenizer.h"

#include <bit>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/testing.h"
#include "base/utf8.h"
#include "laconic/error.h"
#include "text/normalization_form.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/serde_number.h"

namespace laconic {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kShared = "../shared";

// Made by tools/text/make_golden.py; the file names the versions.
const json& Golden() {
  static const json golden = ReadJsonFile("src/text/testdata/golden.json");
  return golden;
}

// As make_golden.py's merge_patch: objects merge, but what has a type replaces.
json MergePatch(const json& target, const json& patch) {
  if (!patch.is_object() || !target.is_object() || patch.contains("type")) {
    return patch;
  }
  json merged = target;
  for (const auto& [key, value] : patch.items()) {
    merged[key] = MergePatch(target.contains(key) ? target[key] : json(), value);
  }
  return merged;
}

json Patched(std::string_view base, const json& patch) { return MergePatch(Golden()["bases"][base], patch); }

void ExpectCases(const Tokenizer& tokenizer, const json& cases) {
  for (const json& expected : cases) {
    const auto texts = expected["texts"].get<std::vector<std::string>>();
    const std::int64_t max_length = expected["max_length"];
    const Encoding encoding = texts.size() == 1 ? tokenizer.Encode(texts[0], max_length)
                                                : tokenizer.EncodePair(texts[0], texts[1], max_length);
    EXPECT_EQ(encoding.ids, expected["ids"].get<std::vector<std::int32_t>>()) << expected["texts"] << max_length;
    EXPECT_EQ(encoding.type_ids, expected["type_ids"].get<std::vector<std::int32_t>>()) << expected["texts"];
    EXPECT_EQ(encoding.truncated, expected["truncated"].get<bool>()) << expected["texts"];
  }
}

TEST(TokenizerGoldenTest, SmallVocabulariesUnderEverySetting) {
  int num_groups = 0;
  for (const json& group : Golden()["groups"]) {
    if (group.contains("base")) {
      SCOPED_TRACE(group["name"].get<std::string>());
      ExpectCases(Tokenizer::FromJson(Patched(group["base"].get<std::string>(), group["patch"]).dump()),
                  group["cases"]);
      ++num_groups;
    }
  }
  EXPECT_GE(num_groups, 42);
}

// The ids are those of tokenizers 0.23.3.
TEST(TokenizerTest, ATokenThatAnotherTookAsWhiteSpaceIsNotThere) {
  const auto added = [](const char* content, bool lstrip) {
    return json{{"id", 0},           {"content", content},  {"single_word", false}, {"lstrip", lstrip},
                {"rstrip", !lstrip}, {"normalized", false}, {"special", false}};
  };
  const Tokenizer tokenizer =
      Tokenizer::FromJson(Patched("wordpiece", {{"added_tokens", {added("b.", false), added(" ", true)}}}).dump());
  EXPECT_THAT(tokenizer.Encode("b. ", 8).ids, ElementsAre(16, 322, 321));
  EXPECT_THAT(tokenizer.Encode("b. one", 8).ids, ElementsAre(16, 322, 7, 321));
  EXPECT_THAT(tokenizer.Encode("b.one ", 8).ids, ElementsAre(16, 322, 7, 323, 321));
  EXPECT_THAT(tokenizer.Encode(" b. b.", 8).ids, ElementsAre(16, 323, 322, 322, 321));
}

TEST(TokenizerGoldenTest, RealVocabularies) {
  if (!std::filesystem::exists(std::filesystem::path(kShared) / "models")) {
    GTEST_SKIP() << "no models in " << kShared;
  }
  for (const json& group : Golden()["groups"]) {
    if (!group.contains("base")) {
      SCOPED_TRACE(group["name"].get<std::string>());
      ExpectCases(
          group.contains("file")
              ? Tokenizer::FromJson(
                    ReadFile(std::filesystem::path(kShared) / group["file"].get<std::string>(), 1 << 20))
              : Tokenizer::FromDirectory(std::filesystem::path(kShared) / group["directory"].get<std::string>()),
          group["cases"]);
    }
  }
}

std::string Utf8(char32_t code_point) {
  std::string text;
  AppendUtf8(code_point, &text);
  return text;
}

// Every code point under every character-wise normalizer and splitter, against digests of the oracle's output.
TEST(TokenizerGoldenTest, EveryCodePoint) {
  for (const json& sweep : Golden()["sweeps"]) {
    const bool normalizes = sweep.contains("normalizer");
    const json& option = sweep[normalizes ? "normalizer" : "pre_tokenizer"];
    const bool alone = option["type"] == "Strip";
    const auto normalizer = normalizes ? text::MakeNormalizer(option) : nullptr;
    const auto splitter = normalizes ? nullptr : text::MakePreTokenizer(option, false);
    std::string output;
    for (char32_t c = 0; c < 0x110000; c += c == 0xD7FF ? 0x801 : 1) {
      const std::string middle = Utf8(c);
      if (normalizes) {
        normalizer->Append(alone ? middle : "a" + middle + "\u0315\u0301b", &output);
      } else {
        splitter->Split({"a" + middle + "b"}, [&](const text::Piece& piece) {
          output.append(piece.text).push_back('\n');
          return true;
        });
      }
    }
    EXPECT_EQ(Sha256Hex(std::as_bytes(std::span(output))), sweep["sha256"].get<std::string>()) << option;
  }
}

TEST(TokenizerGoldenTest, NumbersAreRoundedAsTheOracleDoes) {
  bool differs_from_nearest = false;
  for (const json& number : Golden()["numbers"]) {
    const auto literal = number[0].get<std::string>();
    const double expected = std::strtod(number[1].get<std::string>().c_str(), nullptr);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(text::ParseSerdeDouble(literal)), std::bit_cast<std::uint64_t>(expected))
        << literal;
    differs_from_nearest = differs_from_nearest || std::strtod(literal.c_str(), nullptr) != expected;
  }
  EXPECT_TRUE(differs_from_nearest);
  EXPECT_THROW(text::ParseSerdeDouble("1e309"), Error);
}

// What a quick check lets pass must be what decomposing and composing everything would leave as it is.
TEST(NormalizationFormTest, QuickCheckEqualsTheDefinition) {
  // Letters and marks that compose, reorder, decompose or do none of it, in Latin, Bangla, Tamil, Hangul and others.
  constexpr std::u32string_view kPool =
      U"ab \u00e9\u01d5\u0300\u0301\u0308\u0315\u0323\u0327\u0344\u0345\u09a1\u09af\u09bc\u09cd\u09be\u09c7\u09cb\u09d7"
      U"\u09dc\u09df\u200c\u200d\u0928\u093c\u0929\u0bc6\u0bbe\u1100\u1112\u1161\u11a8\u11a7\uac00\uac01\ufb01\u2460"
      U"\u00a8"
      U"\u0f73\u0f71\u0f72\u212b\u1e9b\u0307\u3099\u304b\U0001d15e\U0001d165\U00011099\U000110ba\u0387\u0958";
  std::mt19937 random(7);
  std::int64_t num_in_form = 0;
  std::int64_t num_changed = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::string text;
    for (std::uint32_t size = random() % 10; size > 0; --size) {
      AppendUtf8(kPool[random() % kPool.size()], &text);
    }
    using enum text::NormalizationForm;
    for (const text::NormalizationForm form : {kNfc, kNfd, kNfkc, kNfkd}) {
      std::string quick;
      std::string whole;
      text::AppendNormalized(form, text, &quick);
      text::AppendNormalizedByDefinition(form, text, &whole);
      ASSERT_EQ(quick, whole) << text << " in form " << static_cast<int>(form);
      ++(quick == text ? num_in_form : num_changed);
    }
  }
  EXPECT_GT(num_in_form, 50'000);
  EXPECT_GT(num_changed, 50'000);
}

// A mark that is kept (a stem of musical notation, Mc of class 216) stays between the letters that it stood between.
TEST(BertNormalizerTest, KeptMarksStayBeforeTheNextLetter) {
  const auto normalizer = text::MakeNormalizer({{"type", "BertNormalizer"},
                                                {"clean_text", true},
                                                {"handle_chinese_chars", true},
                                                {"strip_accents", true},
                                                {"lowercase", true}});
  std::string out;
  normalizer->Append("\u00c9\U0001D165\u00e9", &out);
  EXPECT_EQ(out, "e\U0001D165e");
}

// The words that a tokenizer remembers, displaced by others again and again, change no answer; several threads at once.
TEST(TokenizerTest, RemembersWordsWithoutChangingAnAnswer) {
  for (const char* base : {"wordpiece", "unigram", "bpe", "characters"}) {
    const std::string file = Patched(base, json::object()).dump();
    std::mt19937 random(11);
    std::vector<std::string> texts;
    std::vector<std::vector<std::int32_t>> expected;
    for (int i = 0; i < 100; ++i) {
      std::string& text = texts.emplace_back();
      for (int word = 0; word < 200; ++word) {
        for (std::uint32_t size = random() % 5; size > 0; --size) {
          AppendUtf8(U"onetwabx\u0995\u09cb\u09cd\u09df\u00e9"[random() % 13], &text);
        }
        text += ' ';
      }
      expected.push_back(Tokenizer::FromJson(file).Encode(text, 1 << 20).ids);
    }
    const Tokenizer tokenizer = Tokenizer::FromJson(file);
    const auto check = [&](std::size_t first) {
      for (std::size_t i = 0; i < 3 * texts.size(); ++i) {
        const std::size_t at = (first + i) % texts.size();
        EXPECT_EQ(tokenizer.Encode(texts[at], 1 << 20).ids, expected[at]) << base << ' ' << at;
      }
    };
    std::vector<std::jthread> threads;
    for (std::size_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back(check, thread * 25);
    }
  }
}

std::string Refusal(const std::string& tokenizer_json) {
  return ErrorOf([&] { Tokenizer::FromJson(tokenizer_json); });
}

TEST(TokenizerRefusalTest, NamesWhatItCannotReproduce) {
  const auto refusal = [](const json& patch) { return Refusal(Patched("unigram", patch).dump()); };
  const auto normalizer = [&](const json& part) { return refusal({{"normalizer", part}}); };
  const auto pre_tokenizer = [&](const json& part) { return refusal({{"pre_tokenizer", part}}); };
  const auto regex = [&](const char* pattern) {
    return normalizer({{"type", "Replace"}, {"pattern", {{"Regex", pattern}}}, {"content", ""}});
  };
  EXPECT_THAT(refusal({{"model", {{"type", "WordLevel"}, {"vocab", json::object()}}}}),
              HasSubstr("unsupported: model 'WordLevel'"));
  EXPECT_THAT(normalizer({{"type", "ByteFallback"}}), HasSubstr("unsupported: normalizer 'ByteFallback'"));
  EXPECT_THAT(normalizer({{"type", "NFC"}, {"fast", true}}), HasSubstr("unsupported: option 'fast'"));
  EXPECT_THAT(regex("(a|b)+"), HasSubstr("unsupported: regular expression '(a|b)+'"));
  for (const char* pattern :
       {"", "a*", "a?", "[^a]", "[a-z]", "\\w", "\\s++", "a{0}", "a{2,3}", "a{2", "[a", "ab", "^ ", "\\", "."}) {
    EXPECT_THAT(regex(pattern), HasSubstr("unsupported")) << pattern;
  }
  EXPECT_EQ(regex("[ \\t\\s]{2,}"), "no error");
  EXPECT_THAT(pre_tokenizer({{"type", "Split"}}), HasSubstr("unsupported: pre-tokenizer 'Split'"));
  EXPECT_THAT(pre_tokenizer({{"type", "ByteLevel"}, {"add_prefix_space", true}, {"by", "words"}}),
              HasSubstr("unsupported: option 'by'"));
  EXPECT_THAT(pre_tokenizer({{"type", "Punctuation"}, {"behavior", "MergedWithNext"}}), HasSubstr("MergedWithNext"));
  EXPECT_THAT(pre_tokenizer({{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "first"}}),
              HasSubstr("first"));
  EXPECT_THAT(refusal({{"post_processor", {{"type", "Other"}}}}), HasSubstr("unsupported: post-processor 'Other'"));
  EXPECT_THAT(refusal({{"truncation", {{"direction", "Left"}}}}),
              HasSubstr("unsupported: truncation direction 'Left'"));
  EXPECT_THAT(refusal({{"version", "2.0"}}), HasSubstr("unsupported: tokenizer.json version '2.0'"));
}

TEST(TokenizerRefusalTest, SaysWhatIsBroken) {
  const auto refusal = [](const json& patch) { return Refusal(Patched("wordpiece", patch).dump()); };
  EXPECT_THAT(Refusal("{"), HasSubstr("invalid file: malformed JSON"));
  EXPECT_THAT(Refusal("[]"), HasSubstr("invalid file: expected a JSON object"));
  EXPECT_THAT(Refusal("{}"), HasSubstr("invalid file: 'model' is missing"));
  EXPECT_THAT(Refusal(std::string(200, '[')), HasSubstr("nested deeper"));
  EXPECT_THAT(refusal({{"model", {{"vocab", {{"a", -1}}}}}}), HasSubstr("'a': expected an integer"));
  EXPECT_THAT(refusal({{"model", {{"vocab", {{"a", 4294967296}}}}}}), HasSubstr("'a': expected an integer"));
  EXPECT_THAT(refusal({{"model", {{"unk_token", "nowhere"}}}}), HasSubstr("the unknown token 'nowhere'"));
  EXPECT_THAT(refusal({{"normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "AAA"}}}}),
              HasSubstr("base64"));
  EXPECT_THAT(refusal({{"normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "/////w=="}}}}),
              HasSubstr("a trie of 4294967295 bytes in 0"));
  EXPECT_THAT(Refusal(Patched("unigram", {{"model", {{"unk_id", 1000}}}}).dump()), HasSubstr("unk_id 1000"));
  EXPECT_THAT(Refusal(Patched("unigram", {{"model", {{"vocab", {{{"a"}}}}}}}).dump()), HasSubstr("pairs of a piece"));
}

TEST(TokenizerRefusalTest, NamesTheMerge) {
  const auto refusal = [](const json& model) { return Refusal(Patched("characters", {{"model", model}}).dump()); };
  const auto merges = [&](const char* list) { return refusal({{"merges", json::parse(list)}}); };
  EXPECT_THAT(merges(R"(["a b", "a q"])"), HasSubstr("merge 2, 'a' with 'q': token 'q' is not in the vocabulary"));
  EXPECT_THAT(merges(R"([["a", "c"]])"), HasSubstr("merge 1, 'a' with 'c': token 'ac'"));
  EXPECT_THAT(merges(R"(["a b", "a  b"])"),
              HasSubstr("merge 2: expected two tokens with a space between them, got 'a "));
  EXPECT_THAT(merges(R"(["ab"])"), HasSubstr("merge 1: expected two tokens"));
  EXPECT_THAT(merges(R"(["a b", ["a", "b"]])"), HasSubstr("merge 2: expected two tokens in a string, got [\"a\""));
  EXPECT_THAT(merges(R"([["a", "b", "a"]])"), HasSubstr("merge 1: expected a pair of tokens"));
  EXPECT_THAT(merges(R"([["a", "b"], 7])"), HasSubstr("merge 2: expected a pair of tokens, as the others, got 7"));
  EXPECT_THAT(merges(R"("a b")"), HasSubstr("'merges': expected an array"));
  EXPECT_THAT(refusal({{"dropout", 0.1}}), HasSubstr("unsupported: dropout '0.1'"));
  EXPECT_EQ(refusal({{"dropout", 0.0}}), "no error");
  EXPECT_THAT(refusal({{"continuing_subword_prefix", "\u2581"}}), HasSubstr("unsupported: continuing_subword_prefix"));
  EXPECT_THAT(refusal({{"end_of_word_suffix", std::string(16, 'w')}}), HasSubstr("unsupported: end_of_word_suffix"));
  EXPECT_THAT(refusal({{"vocab", json::array()}}), HasSubstr("'vocab': expected an object"));
}

TEST(TokenizerTest, MissesAnUnknownTokenOnlyWhereATextNeedsIt) {
  const json patch = {{"model", {{"unk_token", ""}}}};
  const Tokenizer tokenizer = Tokenizer::FromJson(Patched("characters", patch).dump());
  EXPECT_EQ(tokenizer.Encode("one", 9).ids.size(), 1U);
  EXPECT_THAT(ErrorOf([&] { tokenizer.Encode("onez", 9); }),
              HasSubstr("the vocabulary has neither 'z' nor the unknown token ''"));
}

// Two tokens with one id: when "a" and "b" are up, "a" and "bc" stand there and make the same, so they go before "x"
// and "a". Expected from Hugging Face tokenizers 0.23.3.
TEST(TokenizerTest, MergesAnOutdatedPairThatMakesTheSameToken) {
  const Tokenizer tokenizer = Tokenizer::FromJson(R"({"model": {"type": "BPE",
      "vocab": {"a": 0, "b": 1, "c": 2, "x": 3, "ab": 4, "abc": 4, "bc": 5, "xa": 6},
      "merges": ["b c", "a b", "x a", "a bc"]}})");
  EXPECT_THAT(tokenizer.Encode("xabc", 9).ids, ElementsAre(3, 4));
}

// Quadratic time would take minutes.
TEST(TokenizerTest, MergesAWordOfAMegabyte) {
  const Tokenizer tokenizer = Tokenizer::FromJson(Patched("characters", json::object()).dump());
  EXPECT_EQ(tokenizer.Encode(std::string(std::size_t{1} << 20, 'x'), 1 << 20).ids.size(), std::size_t{1} << 18);
  std::string word;
  while (word.size() < 1 << 20) {
    word += "abaxonebbxx";
  }
  EXPECT_GT(tokenizer.Encode(word, 1 << 20).ids.size(), word.size() / 6);
}

Tokenizer SmallWordPiece() { return Tokenizer::FromJson(Patched("wordpiece", json::object()).dump()); }

TEST(TokenizerTest, RefusesTextThatIsNotUtf8) {
  const Tokenizer tokenizer = SmallWordPiece();
  EXPECT_THAT(ErrorOf([&] { tokenizer.Encode("abc\xFFx", 100); }),
              HasSubstr("invalid argument: the text is not UTF-8 at byte 3"));
  EXPECT_THAT(ErrorOf([&] { tokenizer.EncodePair("abc", "\xE0\xA6", 100); }), HasSubstr("byte 0"));
}

TEST(TokenizerTest, NeedsRoomForItsSpecialTokens) {
  const Tokenizer tokenizer = SmallWordPiece();
  const Encoding none = tokenizer.Encode("one", 2);
  EXPECT_EQ(none.ids.size(), 2U);
  EXPECT_TRUE(none.truncated);
  EXPECT_FALSE(tokenizer.Encode("", 2).truncated);
  EXPECT_THAT(ErrorOf([&] { tokenizer.Encode("", 1); }), HasSubstr("no room for 2 special tokens"));
  EXPECT_THAT(ErrorOf([&] { tokenizer.EncodePair("", "", 2); }), HasSubstr("no room for 3 special tokens"));
}

TEST(TokenizerTest, TruncatesAVeryLongText) {
  std::string text;
  while (text.size() < 10'000'000) {
    text += "one two \u09ac\u09be\u0982\u09b2\u09be ";
  }
  for (const char* base : {"wordpiece", "unigram", "bpe"}) {
    const Tokenizer tokenizer = Tokenizer::FromJson(Patched(base, json::object()).dump());
    const Encoding encoding = tokenizer.Encode(text, 512);
    EXPECT_EQ(encoding.ids.size(), 512U);
    EXPECT_TRUE(encoding.truncated);
    EXPECT_EQ(encoding.ids, tokenizer.Encode(std::string_view(text).substr(0, 24'000), 512).ids);
  }
}

TEST(TokenizerTest, CountsIdsOfEveryOrigin) {
  const std::size_t num_tokens = Golden()["bases"]["wordpiece"]["model"]["vocab"].size();
  // Four added tokens of the base are not in its vocabulary.
  EXPECT_EQ(SmallWordPiece().vocabulary_size(), static_cast<std::int64_t>(num_tokens) + 4);
  const json patch = {{"post_processor", {{"type", "BertProcessing"}, {"sep", {"s", 70000}}, {"cls", {"c", 3}}}}};
  EXPECT_EQ(Tokenizer::FromJson(Patched("wordpiece", patch).dump()).vocabulary_size(), 70001);
}

class TokenizerDirectoryTest : public testing::Test {
 protected:
  void Write(const char* name, std::string_view content) const { std::ofstream(directory_ / name) << content; }
  std::string LoadMessage() const {
    return ErrorOf([&] { Tokenizer::FromDirectory(directory_); });
  }

  const TemporaryDirectory temporary_;
  const std::filesystem::path directory_ = temporary_.path();
};

constexpr std::string_view kVocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nHello\nh\u00e9llo\nhello\n##s\n";

// What the oracle makes of each is checked by tools/text/check_directories_against_hf.py.
TEST_F(TokenizerDirectoryTest, ReadsAVocabularyFile) {
  Write("vocab.txt", kVocabulary);
  const Tokenizer uncased = Tokenizer::FromDirectory(directory_);
  EXPECT_THAT(uncased.Encode("Hello h\u00e9llos", 10).ids, ElementsAre(2, 8, 8, 9, 3));  // of equal lines the last
  EXPECT_EQ(uncased.model_max_length(), INT64_MAX);
  EXPECT_THAT(uncased.file_names(), ElementsAre("vocab.txt"));
  EXPECT_EQ(uncased.vocabulary_size(), 10);

  Write("tokenizer_config.json",
        R"({"do_lower_case": false, "model_max_length": 77, "cls_token": "[MASK]", "mask_token": "[new]"})");
  const Tokenizer cased = Tokenizer::FromDirectory(directory_);
  EXPECT_THAT(cased.Encode("Hello h\u00e9llo[new]", 10).ids,
              ElementsAre(4, 6, 7, 9, 3));  // 9 different tokens before it
  EXPECT_EQ(cased.model_max_length(), 77);
  EXPECT_THAT(cased.file_names(), ElementsAre("vocab.txt", "tokenizer_config.json"));
}

// 100 characters make a word too long, not 100 bytes, which Bangla has after 34.
TEST_F(TokenizerDirectoryTest, CountsAWordsLengthInCharacters) {
  Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n\u0995\n##\u0995\n");
  const Tokenizer tokenizer = Tokenizer::FromDirectory(directory_);
  std::string word;
  for (int i = 0; i < 100; ++i) {
    word += "\u0995";
  }
  EXPECT_EQ(tokenizer.Encode(word, 200).ids.size(), 102U);
  EXPECT_THAT(tokenizer.Encode(word + "\u0995", 200).ids, ElementsAre(2, 1, 3));
}

TEST_F(TokenizerDirectoryTest, PrefersTokenizerJson) {
  Write("vocab.txt", kVocabulary);
  Write("tokenizer.json", Patched("wordpiece", json::object()).dump());
  Write("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
  const Tokenizer tokenizer = Tokenizer::FromDirectory(directory_);
  EXPECT_EQ(tokenizer.Encode("one two", 10).ids, SmallWordPiece().Encode("one two", 10).ids);
  EXPECT_GT(tokenizer.model_max_length(), std::int64_t{1} << 62);
  EXPECT_THAT(tokenizer.file_names(), ElementsAre("tokenizer.json", "tokenizer_config.json"));

  const json lowercase = {
      {"type", "BertNormalizer"}, {"clean_text", true}, {"handle_chinese_chars", true}, {"lowercase", true}};
  Write("tokenizer.json", Patched("wordpiece", {{"normalizer", lowercase}}).dump());
  Write("tokenizer_config.json", R"({"do_lower_case": true, "strip_accents": null})");
  EXPECT_EQ(LoadMessage(), "no error");
  Write("tokenizer_config.json", R"({"do_lower_case": false})");
  EXPECT_THAT(LoadMessage(), HasSubstr("'do_lower_case' of tokenizer_config.json contradicts"));
}

// What the oracle makes of each is checked by tools/text/check_directories_against_hf.py.
TEST_F(TokenizerDirectoryTest, ReadsAVocabularyWithMerges) {
  Write("vocab.json", R"({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "o": 4, "n": 5, "e": 6, "ne": 7, "\u0120": 8})");
  EXPECT_THAT(LoadMessage(), HasSubstr("nor vocab.json with merges.txt in"));
  Write("merges.txt", "#version: 0.2\nn e\r\n");
  const Tokenizer tokenizer = Tokenizer::FromDirectory(directory_);
  EXPECT_THAT(tokenizer.Encode("one<mask>", 9).ids, ElementsAre(0, 4, 7, 9, 2));  // 9 tokens before <mask>
  EXPECT_THAT(tokenizer.EncodePair("o", "e", 9).ids, ElementsAre(0, 4, 2, 2, 6, 2));
  EXPECT_THAT(tokenizer.file_names(), ElementsAre("vocab.json", "merges.txt"));

  Write("tokenizer_config.json", R"({"add_prefix_space": true, "cls_token": "</s>", "model_max_length": 5})");
  const Tokenizer spaced = Tokenizer::FromDirectory(directory_);
  EXPECT_THAT(spaced.Encode("one", 9).ids, ElementsAre(2, 8, 4, 7, 2));
  EXPECT_EQ(spaced.model_max_length(), 5);

  Write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer"})");
  EXPECT_THAT(LoadMessage(), HasSubstr("unsupported: tokenizer_class 'GPT2Tokenizer'"));
  Write("tokenizer_config.json", "{}");
  Write("merges.txt", "n e\n\no n\n");
  EXPECT_THAT(LoadMessage(), AllOf(HasSubstr("merge 2: expected two tokens"), HasSubstr("merges.txt'")));
  Write("merges.txt", "n q\n");
  EXPECT_THAT(LoadMessage(), AllOf(HasSubstr("merge 1, 'n' with 'q': token 'q'"), HasSubstr("merges.txt'")));
  Write("merges.txt", "n \xFF\n");
  EXPECT_THAT(LoadMessage(), AllOf(HasSubstr("not UTF-8 at byte 2"), HasSubstr("merges.txt'")));
  Write("merges.txt", "");
  Write("vocab.json", R"({"o": "four"})");
  EXPECT_THAT(LoadMessage(), AllOf(HasSubstr("'o': expected an integer"), HasSubstr("vocab.json'")));
}

TEST_F(TokenizerDirectoryTest, NamesTheFileThatSentencePieceNeeds) {
  Write("spiece.model", "\n\x05");
  EXPECT_THAT(LoadMessage(), AllOf(HasSubstr("unsupported"), HasSubstr("spiece.model' is not read"),
                                   HasSubstr("needed as tokenizer.json")));
}

TEST_F(TokenizerDirectoryTest, RefusesAPrefixSpaceThatTheFilesDisagreeOn) {
  Write("tokenizer.json", Patched("bpe", json::object()).dump());
  Write("tokenizer_config.json", R"({"add_prefix_space": false})");
  EXPECT_EQ(LoadMessage(), "no error");
  Write("tokenizer_config.json", R"({"add_prefix_space": true})");
  EXPECT_THAT(LoadMessage(), HasSubstr("'add_prefix_space' of tokenizer_config.json contradicts the pre-tokenizer"));
}

TEST_F(TokenizerDirectoryTest, RefusesWhatItCannotFollow) {
  EXPECT_THAT(LoadMessage(), HasSubstr("not found: neither tokenizer.json nor vocab.txt"));
  Write("vocab.txt", "a\nb\n");
  EXPECT_THAT(LoadMessage(), HasSubstr("invalid file: the unknown token '[UNK]' is not in the vocabulary"));
  Write("vocab.txt", "a\n\xFF\n");
  EXPECT_THAT(LoadMessage(), HasSubstr("not UTF-8 at byte 2"));
  Write("vocab.txt", kVocabulary);
  const std::pair<const char*, const char*> configs[] = {
      {R"([1])", "expected a JSON object"},
      {R"({"tokenizer_class": "BertJapaneseTokenizer"})", "unsupported: tokenizer_class 'BertJapaneseTokenizer'"},
      {R"({"do_basic_tokenize": false})", "unsupported: do_basic_tokenize"},
      {R"({"never_split": ["a"]})", "unsupported: never_split"},
      {R"({"truncation_side": "left"})", "unsupported: truncation_side 'left'"},
      {R"({"split_special_tokens": true})", "unsupported: split_special_tokens"},
      {R"({"image_token": "<i>"})", "unsupported: special token 'image_token'"},
      {R"({"do_lower_case": "yes"})", "'do_lower_case': expected a boolean"},
      {R"({"added_tokens_decoder": {"x": {"content": "a"}}})", "'added_tokens_decoder': expected ids as keys, got 'x'"},
      {R"({"cls_token": 3})", "'content'"},
  };
  for (const auto& [config, message] : configs) {
    Write("tokenizer_config.json", config);
    EXPECT_THAT(LoadMessage(), HasSubstr(message)) << config;
  }
}

}  // namespace
}  // namespace laconic
