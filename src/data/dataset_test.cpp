#include "laconic/dataset.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <numeric>
#include <span>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "base/json.h"
#include "base/sha256.h"
#include "base/testing.h"
#include "laconic/error.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class DatasetTest : public ::testing::Test {
 protected:
  fs::path Write(const std::string& name, std::string_view text) const {
    std::ofstream(root_ / name, std::ios::binary) << text;
    return root_ / name;
  }
  std::string ErrorIn(const std::string& name, std::string_view text, const DatasetOptions& options) const;

  const TemporaryDirectory directory_;
  const fs::path root_ = directory_.path();
};

std::string DatasetTest::ErrorIn(const std::string& name, std::string_view text, const DatasetOptions& options) const {
  const fs::path path = Write(name, text);
  return ErrorOf(ErrorCode::kInvalidFile, [&] { ReadDataset({path}, options); });
}

DatasetOptions Single(std::vector<std::string> labels) { return {.labels = std::move(labels)}; }
DatasetOptions Multi(std::vector<std::string> labels) {
  return {.problem = ProblemType::kMultiLabel, .labels = std::move(labels)};
}

std::string TextDigest(const Dataset& dataset) {
  const std::string all = std::accumulate(dataset.texts.begin(), dataset.texts.end(), std::string());
  return Sha256Hex(std::as_bytes(std::span(all)));
}

std::vector<int> Support(const Dataset& dataset) {
  std::vector<int> support(static_cast<std::size_t>(dataset.num_labels));
  for (std::size_t i = 0; i < dataset.targets.size(); ++i) {
    support[i % support.size()] += dataset.targets[i];
  }
  return support;
}

TEST_F(DatasetTest, OneLabelColumnHoldsNamesOrIndices) {
  const std::vector<std::uint8_t> expected = {0, 1, 1, 0, 0, 1};
  const auto targets = [&](const std::string& name, std::string_view text) {
    return ReadDataset({Write(name, text)}, Single({"neg", "pos"})).targets;
  };
  EXPECT_EQ(targets("a.csv", "text,label\na,pos\nb,neg\nc,pos\n"), expected);
  EXPECT_EQ(targets("a.CSV", "label,text\n1,a\n0,b\n1,c\n"), expected);
  EXPECT_EQ(targets("a.tsv", "sentence\tlabel\na, b\tpos\nb\tneg\nc\t1\n"), expected);
  EXPECT_EQ(targets("a.jsonl",
                    "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":0}\n"
                    "{\"text\":\"c\",\"label\":\"pos\"}"),
            expected);
  EXPECT_EQ(targets("a.json", R"([{"text":"a","labels":["pos"]},{"text":"b","labels":0},{"text":"c","labels":"1"}])"),
            expected);
  // A name that spells an integer is the name.
  EXPECT_EQ(ReadDataset({Write("stars.csv", "text,label\na,1\n")}, Single({"1", "2"})).targets,
            (std::vector<std::uint8_t>{1, 0}));
}

TEST_F(DatasetTest, ListsAndFlagColumnsAreMultiLabel) {
  const std::vector<std::uint8_t> expected = {1, 0, 1, 0, 0, 0};
  const auto targets = [&](const std::string& name, std::string_view text) {
    return ReadDataset({Write(name, text)}, Multi({"x", "y", "z"})).targets;
  };
  EXPECT_EQ(targets("a.json", R"([{"text":"a","intents":["z","x"]},{"text":"b"}])"), expected);
  EXPECT_EQ(targets("b.json", R"([{"text":"a","intents":[0,2]},{"text":"b","intents":null}])"), expected);
  EXPECT_EQ(targets("c.json", R"([{"text":"a","intents":["z","x","z"]},{"text":"b","intents":[]}])"), expected);
  EXPECT_EQ(targets("a.csv", "z,y,text,x\n1,0,a,1\n0,0,b,0\n"), expected);
  EXPECT_EQ(targets("a.jsonl", R"({"text":"a","x":true,"y":false,"z":1}
                                  {"text":"b","x":0,"y":0,"z":0})"),
            expected);
}

// What pandas and R write of booleans, and of integers in a column that has gaps.
TEST_F(DatasetTest, FlagsAndIndicesHaveManySpellings) {
  const auto targets = [&](const std::string& name, std::string_view text, const DatasetOptions& options) {
    return ReadDataset({Write(name, text)}, options).targets;
  };
  EXPECT_THAT(targets("a.csv", "text,x,y,z\na,True,1.0,false\nb,FALSE,0.0,TRUE\n", Multi({"x", "y", "z"})),
              ElementsAre(1, 1, 0, 0, 0, 1));
  EXPECT_THAT(targets("a.jsonl", R"({"text":"a","x":1.0,"y":0.0})", Multi({"x", "y"})), ElementsAre(1, 0));
  EXPECT_THAT(targets("b.csv", "text,label\na,1.0\nb,0.0\n", Single({"n", "p"})), ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(targets("b.jsonl", R"({"text":"a","label":1.0})", Single({"n", "p"})), ElementsAre(0, 1));
  for (const char* value : {"1.5", "1e0", "nan", "inf", "0x1", "1 ", "yes"}) {
    EXPECT_THAT(ErrorIn("a.csv", std::string("text,n\na,") + value + "\n", Multi({"n"})),
                HasSubstr("column 'n': expected 0 or 1, got"));
  }
}

TEST_F(DatasetTest, QuotesCanBePlainText) {
  const fs::path path = Write("a.tsv", "text\tlabel\n\"Yes,\" he said\t1\n\"oh\t1\nit ended\"\t0\n");
  DatasetOptions options = Single({"n", "p"});
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidFile, [&] { ReadDataset({path}, options); }), HasSubstr("tsv-plain"));
  options.format = ParseDataFormat("tsv-plain");
  const Dataset dataset = ReadDataset({path}, options);
  EXPECT_THAT(dataset.texts, ElementsAre("\"Yes,\" he said", "\"oh", "it ended\""));
  EXPECT_THAT(dataset.targets, ElementsAre(0, 1, 0, 1, 1, 0));
}

TEST_F(DatasetTest, ColumnsCanBeChosen) {
  const fs::path path = Write("a.csv", "text,body,second,label,topic\nno,yes,more,0,pos\n");
  DatasetOptions options = Single({"neg", "pos"});
  options.text_column = "body";
  options.second_text_column = "second";
  options.label_column = "topic";
  const Dataset dataset = ReadDataset({path, path}, options);
  EXPECT_THAT(dataset.texts, ElementsAre("yes", "yes"));
  EXPECT_THAT(dataset.second_texts, ElementsAre("more", "more"));
  EXPECT_THAT(dataset.targets, ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(ReadDataset({Write("p.csv", "sentence1,sentence2,label\na,b,1\n")}, Single({"n", "y"})).second_texts,
              ElementsAre("b"));
}

TEST_F(DatasetTest, AColumnIsOneTextOfAPairAtMost) {
  const fs::path path = Write("p.csv", "sentence1,sentence2,label\na,b,1\n");
  const Dataset dataset = ReadDataset({path}, {.text_column = "sentence2", .read_labels = false});
  EXPECT_THAT(dataset.texts, ElementsAre("b"));
  EXPECT_THAT(dataset.second_texts, IsEmpty());
  const DatasetOptions twice = {.text_column = {}, .second_text_column = "sentence1", .read_labels = false};
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidFile, [&] { ReadDataset({path}, twice); }),
              HasSubstr("column 'sentence1' cannot be both texts of a pair"));
}

TEST_F(DatasetTest, LabelsAreNotLookedAtUnlessWanted) {
  const Dataset dataset = ReadDataset({Write("a.csv", "text,label\na,what\n\"\",\n")}, {.read_labels = false});
  EXPECT_THAT(dataset.texts, ElementsAre("a", ""));
  EXPECT_THAT(dataset.targets, IsEmpty());
}

TEST_F(DatasetTest, LabelErrorsSayWhereAndWhatIsKnown) {
  EXPECT_THAT(ErrorIn("a.csv", "text,label\na,neg\nb,meh\n", Single({"neg", "pos"})),
              AllOf(HasSubstr("no label \"meh\""), HasSubstr("'neg', 'pos'"), HasSubstr("column 'label'"),
                    HasSubstr("row 2 (line 3)"), HasSubstr("a.csv'")));
  EXPECT_THAT(ErrorIn("a.csv", "text,label\na,2\n", Single({"neg", "pos"})), HasSubstr("no label \"2\""));
  EXPECT_THAT(ErrorIn("a.jsonl", R"({"text":"a","label":-1})", Single({"neg", "pos"})), HasSubstr("no label -1"));
  EXPECT_THAT(ErrorIn("a.jsonl", R"({"text":"a","label":18446744073709551615})", Single({"n"})), HasSubstr("no label"));
  EXPECT_THAT(ErrorIn("a.jsonl", R"({"text":"a","label":0.5})", Single({"n"})), HasSubstr("got number"));
  EXPECT_THAT(ErrorIn("a.jsonl", R"({"text":"a","label":{"a":1}})", Single({"n"})), HasSubstr("got object"));
  EXPECT_THAT(ErrorIn("a.json", R"([{"text":"a","label":["n","p"]}])", Single({"n", "p"})),
              HasSubstr("expected one label"));
  EXPECT_THAT(ErrorIn("a.csv", "text,label\na,\n", Single({"n", "p"})), HasSubstr("got 0"));
  EXPECT_THAT(ErrorIn("a.json", R"([{"text":"a","label":[1,0,0]}])", Multi({"n", "p"})),
              HasSubstr("'n' is there twice"));
  for (const char* row : {R"({"text":"a","label":[1,0]})", R"({"text":"a","label":[0,1]})"}) {
    EXPECT_THAT(ErrorIn("a.jsonl", row, Multi({"n", "p"})), HasSubstr("write names: 'n', 'p'"));
  }
  EXPECT_THAT(ErrorIn("a.csv", "text,n,p\na,1,0\nb,1,2\n", Multi({"n", "p"})),
              AllOf(HasSubstr("column 'p': expected 0 or 1, got \"2\""), HasSubstr("row 2")));
  EXPECT_THAT(ErrorIn("a.csv", "text,n\na,1\n", Multi({"n", "p"})),
              AllOf(HasSubstr("no row has labels"), HasSubstr("the columns are 'n', 'text'; none for label 'p'\n"),
                    HasSubstr("a.csv'")));
  EXPECT_THAT(ErrorIn("a.csv", "text,n\na,1\n", Single({"n", "p"})), HasSubstr("none for label 'p'\n"));
  for (const char* several : {R"("n,p")", R"("[""n"", ""p""]")", "n|p", "n;p"}) {
    EXPECT_THAT(ErrorIn("a.csv", "text,label\na," + std::string(several) + "\n", Multi({"n", "p"})),
                HasSubstr("several labels of a text need a list in JSON, or a column of 0 and 1 for each"));
  }
  // A long value is cut, between characters.
  std::string value(200, 'x');
  for (int i = 0; i < 100; ++i) {
    value += "ক";
  }
  const std::string message = ErrorIn("a.csv", "text,label\na," + value + "\n", Single({"n"}));
  EXPECT_LT(message.size(), 400U + root_.string().size());
}

TEST_F(DatasetTest, ALabelColumnThatIsNotThere) {
  DatasetOptions options = Multi({"n", "p"});
  options.label_column = "nope";
  EXPECT_THAT(
      ErrorIn("a.csv", "text,n,p\na,1,0\n", options),
      AllOf(HasSubstr("expected them in column 'nope'; the columns are 'n', 'p', 'text'\n"), HasSubstr("a.csv'")));
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidFile, [&] { ReadLabels({root_ / "a.csv"}, options); }),
              HasSubstr("a.csv' has labels, in column 'nope'"));
}

TEST_F(DatasetTest, TextErrors) {
  EXPECT_THAT(ErrorIn("a.csv", "txt,label\na,0\n", Single({"n"})),
              AllOf(HasSubstr("expected a column 'text', 'sentence', 'sentence1'"), HasSubstr("got 'label', 'txt'")));
  EXPECT_THAT(ErrorIn("a.jsonl", R"({"text":7,"label":0})", Single({"n"})), HasSubstr("expected a text, got number"));
  EXPECT_THAT(ErrorIn("a.jsonl", "{\"text\":\"a\",\"sentence2\":\"b\",\"label\":0}\n{\"text\":\"a\",\"label\":0}",
                      Single({"n"})),
              AllOf(HasSubstr("no second text"), HasSubstr("row 2")));
  EXPECT_THAT(ErrorIn("a.csv", "text,label\n\xFF,0\n", Single({"n"})),
              AllOf(HasSubstr("invalid UTF-8"), HasSubstr("row 1 (line 2)")));
}

TEST_F(DatasetTest, EmptyDataIsAnError) {
  for (const char* text : {"", "\xEF\xBB\xBF", "\n\n", "text,label\n", "text,label\n\n"}) {
    EXPECT_THAT(ErrorIn("a.csv", text, Single({"n"})), StartsWith("invalid file: no rows in")) << text;
  }
  for (const char* text : {"", "[]", "\n"}) {
    EXPECT_THAT(ErrorIn("a.json", text, Single({"n"})), StartsWith("invalid file: no rows in")) << text;
  }
}

TEST_F(DatasetTest, FilesThatAreNone) {
  const auto message = [](const fs::path& path, ErrorCode code) {
    return ErrorOf(code, [&] { DatasetReader({path}, {}); });
  };
  ASSERT_EQ(::mkfifo((root_ / "fifo.csv").c_str(), 0600), 0);
  EXPECT_THAT(message(root_ / "fifo.csv", ErrorCode::kInvalidArgument), HasSubstr("FIFO"));
  EXPECT_THAT(message(root_ / "none.csv", ErrorCode::kNotFound), HasSubstr("none.csv"));
  EXPECT_THAT(message(Write("a.txt", "x"), ErrorCode::kInvalidArgument), HasSubstr("expected .csv"));
  EXPECT_THAT(message("-", ErrorCode::kInvalidArgument), HasSubstr("standard input"));
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [] { DatasetReader({"/dev/zero"}, {.format = DataFormat::kCsv}); }),
              HasSubstr("device"));
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [] { DatasetReader({}, {}); }), HasSubstr("no data file"));
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [] { ParseDataFormat("xml"); }), HasSubstr("csv, tsv"));
}

TEST_F(DatasetTest, TwoLabelsOfOneNameAreRefused) {
  const fs::path path = Write("a.csv", "text,label\na,0\n");
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument,
                      [&] {
                        ReadDataset({path}, Single({"n", "n"}));
                      }),
              HasSubstr("two labels are called 'n'"));
}

TEST_F(DatasetTest, ATextOfTenMegabytesIsSound) {
  std::string text;
  text.resize(10'000'000, 'x');
  EXPECT_EQ(ReadDataset({Write("a.csv", "text,label\n\"" + text + "\",0\n")}, Single({"n"})).texts[0], text);
  EXPECT_EQ(ReadDataset({Write("a.json", "[{\"label\":0,\"text\":\"" + text + "\"}]")}, Single({"n"})).texts[0], text);
}

TEST_F(DatasetTest, LabelSetsAreFound) {
  const LabelSet names = ReadLabels({Write("a.csv", "text,label\na,pos\nb,neg\nc,pos\n")}, {});
  EXPECT_THAT(names.names, ElementsAre("neg", "pos"));
  EXPECT_EQ(names.problem, ProblemType::kSingleLabel);
  const LabelSet lists = ReadLabels({Write("a.json", R"([{"text":"a"},{"text":"b","intents":["y","x"]}])")}, {});
  EXPECT_THAT(lists.names, ElementsAre("x", "y"));
  EXPECT_EQ(lists.problem, ProblemType::kMultiLabel);
  EXPECT_THAT(ReadLabels({Write("b.csv", "text,label\na,0\nb,2\n")}, {}).names,
              ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
  const LabelSet flags = ReadLabels({Write("c.csv", "id,y,text,x,z\n1,0,a,1,0\n2,1,b,0,3\n")}, {});
  EXPECT_THAT(flags.names, ElementsAre("x", "y"));
  EXPECT_EQ(flags.problem, ProblemType::kMultiLabel);
  const auto error = [&](std::string_view text) {
    const fs::path path = Write("bad.csv", text);
    return ErrorOf(ErrorCode::kInvalidFile, [&] { ReadLabels({path}, {}); });
  };
  EXPECT_THAT(error("text,label\na,0\nb,x\n"), AllOf(HasSubstr("names in some places"), HasSubstr("row 2")));
  EXPECT_THAT(error("text,label\na,99999999999999999999\n"), HasSubstr("expected a label index"));
  EXPECT_THAT(error("text,x\na,2\n"), HasSubstr("label column"));
}

TEST_F(DatasetTest, AColumnOfFlagsWithAGapIsNotDropped) {
  const auto error = [&](const std::string& name, std::string_view text) {
    const fs::path path = Write(name, text);
    return ErrorOf(ErrorCode::kInvalidFile, [&] { ReadLabels({path}, {}); });
  };
  EXPECT_THAT(
      error("a.csv", "text,hate,threat\na,0,0\nb,1,\nc,0,1\n"),
      AllOf(HasSubstr("column 'threat': expected 0 or 1, as in 2 of 3 rows, got \"\" in row 2 (line 3) of file"),
            HasSubstr("a.csv'")));
  EXPECT_THAT(error("b.csv", "text,x,y\na,0,1\nb,1,\nc,1,\n"), HasSubstr("column 'y'"));  // 1 and blank for 0
  EXPECT_THAT(error("c.csv", "text,x,y\na,0,1\nb,1,n/a\nc,1,0\n"), HasSubstr("got \"n/a\" in row 2"));
  EXPECT_THAT(error("a.jsonl", "{\"text\":\"a\",\"x\":1}\n{\"text\":\"b\"}\n"), HasSubstr("got nothing in 1 rows"));
  EXPECT_THAT(error("b.jsonl", "{\"text\":\"a\",\"x\":1}\n{\"text\":\"b\",\"x\":1,\"y\":1}\n"),
              HasSubstr("column 'y': expected 0 or 1, as in 1 of 2 rows, got nothing in the rows before row 2"));
  // Other numbers are no labels, nor are words that happen to be one.
  EXPECT_THAT(ReadLabels({Write("d.csv", "text,x,id,stars,note\na,0,0,1,1\nb,1,1,1.5,so\nc,1,2,1,\n")}, {}).names,
              ElementsAre("x"));
}

// A file may have new names in each row: only as many as there may be labels are kept, here those of the first.
TEST_F(DatasetTest, OnlySoManyColumnsAreKept) {
  std::string rows = R"({"text":"a")";
  for (int i = 0; i < 65536; ++i) {
    rows += ",\"c" + std::to_string(i) + "\":\"word\"";
  }
  const fs::path path = Write("a.jsonl", rows + "}\n" + R"({"text":"b","x":1})");
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidFile, [&] { ReadLabels({path}, {}); }), HasSubstr("no row of"));
}

TEST_F(DatasetTest, EvenRowsAreSpreadOverTheFiles) {
  const std::vector<fs::path> files = {Write("a.csv", "text\n0\n1\n2\n3\n4\n5\n6\n"),
                                       Write("b.csv", "text\n7\n8\n9\n")};
  const auto numbers = [&](std::int64_t wanted, std::int64_t* num_rows = nullptr) {
    EvenRowReader reader(files, {.read_labels = false}, wanted);
    std::vector<int> taken;
    while (const std::optional<DatasetRow> row = reader.Next()) {
      taken.push_back(std::stoi(row->text));
    }
    EXPECT_FALSE(reader.Next());
    if (num_rows != nullptr) {
      *num_rows = reader.num_rows();
    }
    return taken;
  };
  std::int64_t num_rows = 0;
  EXPECT_THAT(numbers(1, &num_rows), ElementsAre(0));
  EXPECT_EQ(num_rows, 10);
  EXPECT_THAT(numbers(3), ElementsAre(0, 3, 6));
  EXPECT_THAT(numbers(4), ElementsAre(0, 2, 5, 7));
  EXPECT_THAT(numbers(9), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
  for (const std::int64_t all :
       {std::int64_t{0}, std::int64_t{10}, std::int64_t{11}, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_THAT(numbers(all), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)) << all;
  }
}

TEST(BatchByLength, SortsStably) {
  const std::vector<std::int64_t> lengths = {5, 2, 5, 1, 2};
  EXPECT_THAT(BatchByLength(lengths, 2), ElementsAre(ElementsAre(3, 1), ElementsAre(4, 0), ElementsAre(2)));
  EXPECT_THAT(BatchByLength({}, 2), IsEmpty());
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [&] { BatchByLength(lengths, 0); }), HasSubstr("got 0"));
}

// Counts, supports and digests of the joined texts below were computed with Python's csv and json modules.
class RealData : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists("../shared/data")) {
      GTEST_SKIP() << "no ../shared/data beside the source tree";
    }
  }
};

TEST_F(RealData, BanglaCsv) {
  const Dataset dataset = ReadDataset({"../shared/data/bn_cyberbully5/test.csv"},
                                      Multi({"bully", "sexual", "religious", "threat", "spam"}));
  EXPECT_EQ(dataset.texts.size(), 1567U);
  EXPECT_THAT(Support(dataset), ElementsAre(998, 260, 199, 191, 150));
  EXPECT_EQ(TextDigest(dataset), "bf2d5efa08cc9db0d90756c054a30a3171a149898b96e48e05d4e106588824ce");
  EXPECT_THAT(ReadLabels({"../shared/data/bn_cyberbully5/test.csv"}, {}).names,
              ElementsAre("bully", "religious", "sexual", "spam", "threat"));
}

TEST_F(RealData, SentimentJsonl) {
  const Dataset dataset = ReadDataset({"../shared/data/sst2/test.jsonl"}, Single({"LABEL_0", "LABEL_1"}));
  EXPECT_EQ(dataset.texts.size(), 1821U);
  EXPECT_THAT(Support(dataset), ElementsAre(912, 909));
  EXPECT_EQ(TextDigest(dataset), "d486a74e215b8d635c1f777cb5f40a2f59dc85c3b6e7ee2cbfb9117ef2c051ea");
}

TEST_F(RealData, IntentFolds) {
  const auto config = ReadJsonFile("../shared/models/minilm_nlupp/config.json");
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < config["id2label"].size(); ++i) {
    labels.push_back(config["id2label"][std::to_string(i)].get<std::string>());
  }
  const std::string folder = "../shared/data/nlupp/banking/";
  const Dataset dataset = ReadDataset({folder + "fold18.json", folder + "fold19.json"}, Multi(labels));
  EXPECT_EQ(dataset.texts.size(), 204U);
  EXPECT_THAT(Support(dataset),
              ElementsAre(12, 11, 6, 4, 6, 3, 7, 6, 2, 12, 10, 24, 46, 5, 8, 6, 11, 1, 41, 4, 11, 6, 2, 1, 10, 6, 5, 3,
                          4, 6, 7, 8, 25, 42, 8, 5, 5, 24, 4, 6, 3, 10, 5, 4, 5, 5, 4, 5));
  EXPECT_EQ(TextDigest(dataset), "6555708ef0ca694e8873e8db297c2cc3da619c0f5fd2e0b3c917aaf5fdab08de");
  std::vector<fs::path> folds;
  folds.reserve(20);
  for (int i = 0; i < 20; ++i) {
    folds.push_back(folder + "fold" + std::to_string(i) + ".json");
  }
  EXPECT_EQ(ReadDataset(folds, Multi(labels)).texts.size(), 2071U);
  std::sort(labels.begin(), labels.end());
  const LabelSet found = ReadLabels(folds, {});
  EXPECT_EQ(found.names, labels);
  EXPECT_EQ(found.problem, ProblemType::kMultiLabel);
}

}  // namespace
}  // namespace laconic
