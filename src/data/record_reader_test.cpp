#include "data/record_reader.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/testing.h"
#include "laconic/error.h"

namespace laconic::data {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Hands out `text` in pieces of `step` bytes.
ByteReader FromText(std::string text, std::size_t step = SIZE_MAX) {
  return ByteReader([text = std::move(text), step, at = std::size_t{0}](std::span<char> out) mutable {
    const std::size_t size = std::min({step, out.size(), text.size() - at});
    std::copy_n(text.data() + at, size, out.data());
    at += size;
    return size;
  });
}

std::vector<nlohmann::json> ReadAll(RecordReader* reader) {
  std::vector<nlohmann::json> records;
  while (auto record = reader->Next()) {
    records.push_back(std::move(*record));
  }
  return records;
}

std::vector<nlohmann::json> ReadJsonText(std::string text, std::size_t step = SIZE_MAX) {
  return ReadAll(MakeJsonReader(FromText(std::move(text), step)).get());
}

std::vector<nlohmann::json> ReadCsvText(std::string text, std::size_t step = SIZE_MAX) {
  return ReadAll(MakeCsvReader(FromText(std::move(text), step), ',').get());
}

std::string MessageOf(RecordReader* reader) {
  const std::string error = ErrorOf(ErrorCode::kInvalidFile, [&] { ReadAll(reader); });
  return error + " at " + reader->Position();
}

std::string CsvError(std::string text) { return MessageOf(MakeCsvReader(FromText(std::move(text)), ',').get()); }
std::string JsonError(std::string text) { return MessageOf(MakeJsonReader(FromText(std::move(text))).get()); }

TEST(CsvReader, ReadsWhatPythonReads) {
  const nlohmann::json cases = ReadJsonFile("tests/golden/csv_cases.json");
  ASSERT_GE(cases.size(), 400U);
  for (const nlohmann::json& test : cases) {
    const auto text = test[0].get<std::string>();
    SCOPED_TRACE(test.dump());
    const auto reader = MakeCsvReader(FromText(text), test[1].get<std::string>()[0]);
    if (test[2].is_null()) {
      // Without a row a bad header shows too; a text of blank lines is no error here but an empty data set later.
      if (text.find_first_not_of("\r\n") != std::string::npos) {
        EXPECT_THAT(MessageOf(reader.get()), StartsWith("invalid file: "));
      }
      continue;
    }
    std::vector<nlohmann::json> expected;
    for (std::size_t i = 1; i < test[2].size(); ++i) {
      nlohmann::json& row = expected.emplace_back(nlohmann::json::object());
      for (std::size_t j = 0; j < test[2][0].size(); ++j) {
        row[test[2][0][j].get<std::string>()] = test[2][i][j];
      }
    }
    EXPECT_EQ(ReadAll(reader.get()), expected);
  }
}

TEST(CsvReader, KeepsEveryByteOfAField) {
  const std::string bangla = "র‌্যাব ক্‍ষ";  // with a zero width non-joiner and a zero width joiner
  const auto rows = ReadCsvText("\xEF\xBB\xBFtext,n\r\n\"a \"\"b\"\"\r\nc\",1\r\n" + bangla + ",\r\n");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0]["text"], "a \"b\"\r\nc");
  EXPECT_EQ(rows[1]["text"], bangla);
  EXPECT_EQ(rows[1]["n"], "");
  EXPECT_EQ(rows, ReadCsvText("\xEF\xBB\xBFtext,n\r\n\"a \"\"b\"\"\r\nc\",1\r\n" + bangla + ",\r\n", 1));
}

TEST(CsvReader, WithoutQuotingAQuoteIsText) {
  const auto reader = MakeRecordReader(FromText("a\tb\r\n\"x\ty\"z\r\n\"\"\t\"\n"), DataFormat::kTsvPlain);
  EXPECT_EQ(ReadAll(reader.get()),
            (std::vector<nlohmann::json>{{{"a", "\"x"}, {"b", "y\"z"}}, {{"a", "\"\""}, {"b", "\""}}}));
}

TEST(CsvReader, ErrorsSayWhere) {
  EXPECT_THAT(CsvError("a,b\n1,2\n\n3\n"), AllOf(HasSubstr("expected 2 fields, got 1"), HasSubstr("row 2 (line 4)")));
  EXPECT_THAT(CsvError("a,b\r\n1,2\r\n\r\n3\r\n"), HasSubstr("row 2 (line 4)"));
  EXPECT_THAT(CsvError("a\n\"x\ny\"\n\"never closed\n\n"),
              AllOf(HasSubstr("does not end"), HasSubstr("row 2 (line 4)")));
  EXPECT_THAT(CsvError("a,b\n1,2,3\n"), HasSubstr("more than the expected 2 fields"));
  EXPECT_THAT(CsvError("a,b\n1,\"2\"3\n"), HasSubstr("closing quote"));
  EXPECT_THAT(CsvError("a,a\n1,2\n"), AllOf(HasSubstr("'a' is there twice"), HasSubstr("header")));
  EXPECT_THAT(CsvError("a,b\n1,x\xE0\xA6\n"), AllOf(HasSubstr("invalid UTF-8 at byte 1"), HasSubstr("column 'b'")));
  EXPECT_THAT(CsvError(std::string(70000, ',') + "\n"), HasSubstr("fields"));
}

TEST(JsonReader, LinesAndArraysAreTheSame) {
  const char* const lines =
      "\xEF\xBB\xBF"
      R"({"text":"a, ]}\"[\\","labels":["x",[1]]})"
      "\r\n\n  "
      R"({"text":"ক্\u200Dষ"})";
  const char* const array = R"( [
    {"text":"a, ]}\"[\\","labels":["x",[1]]} ,{"text":"ক্\u200Dষ"}
  ] )";
  const std::vector<nlohmann::json> expected = {{{"text", "a, ]}\"[\\"}, {"labels", {"x", {1}}}},
                                                {{"text", "ক্\u200Dষ"}}};
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{SIZE_MAX}}) {
    EXPECT_EQ(ReadJsonText(lines, step), expected);
    EXPECT_EQ(ReadJsonText(array, step), expected);
  }
  EXPECT_TRUE(ReadJsonText(" [ ] ").empty());
  EXPECT_TRUE(ReadJsonText("\n\n").empty());
}

TEST(JsonReader, ErrorsSayWhere) {
  EXPECT_THAT(JsonError("{}\n\n{\"a\":}\n"), AllOf(HasSubstr("malformed JSON"), HasSubstr("row 2 (line 3)")));
  EXPECT_THAT(JsonError("[{},\n{\"a\":1}"), AllOf(HasSubstr("array does not end"), HasSubstr("row 2 (line 2)")));
  EXPECT_THAT(JsonError("[{}] {}"), HasSubstr("text after"));
  EXPECT_THAT(JsonError("[{},]"), HasSubstr("malformed JSON"));
  EXPECT_THAT(JsonError("[{}}]"), HasSubstr("malformed JSON"));
  EXPECT_THAT(JsonError("[1]"), HasSubstr("expected a JSON object, got number"));
  EXPECT_THAT(JsonError("\"text\"\n"), HasSubstr("expected a JSON object, got string"));
  EXPECT_THAT(JsonError("{\"text\":\"\xFF\"}\n"), HasSubstr("UTF-8"));
}

TEST(ByteReader, ARecordOfAnyLengthIsRefused) {
  const auto endless = [] {
    return ByteReader([](std::span<char> out) {
      std::fill(out.begin(), out.end(), '[');
      return out.size();
    });
  };
  EXPECT_THAT(MessageOf(MakeCsvReader(endless(), ',').get()), HasSubstr("longer than"));
  EXPECT_THAT(MessageOf(MakeJsonReader(endless()).get()), HasSubstr("longer than"));
}

}  // namespace
}  // namespace laconic::data
