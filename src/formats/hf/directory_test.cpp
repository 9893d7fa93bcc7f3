#include "formats/hf/directory.h"

#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing.h"
#include "formats/hf/artifact.h"
#include "formats/onnx/onnx.h"
#include "graph/text_form.h"

namespace laconic::hf {
namespace {
namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kTinyBert = "tests/data/tiny_bert";  // tests run from the source tree's root

void Write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

json ReadJson(const fs::path& path) { return json::parse(ReadFile(path, 1 << 20)); }

// Writes the safetensors file again with tensors renamed: those that `rename` gives no name for are left out.
void RenameTensors(const fs::path& path, const std::function<std::string(const std::string&)>& rename) {
  const std::string file = ReadFile(path, 1 << 20);
  std::uint64_t length = 0;
  file.copy(reinterpret_cast<char*>(&length), 8);  // little-endian, as every machine that we build for
  const json header = json::parse(file.substr(8, length));
  json renamed = json::object();
  std::string data;
  for (const auto& [name, info] : header.items()) {
    const std::string new_name = name == "__metadata__" ? "" : rename(name);
    if (new_name.empty()) {
      continue;
    }
    const std::size_t begin = info["data_offsets"][0];
    const std::size_t end = info["data_offsets"][1];
    renamed[new_name] = info;
    renamed[new_name]["data_offsets"] = {data.size(), data.size() + end - begin};
    data += file.substr(8 + length + begin, end - begin);
  }
  const std::string text = renamed.dump();
  length = text.size();
  Write(path, std::string(reinterpret_cast<const char*>(&length), 8) + text + data);
}

class DirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::copy(kTinyBert, model_, fs::copy_options::recursive); }

  void EditConfig(const json& patch) {
    json config = ReadJson(model_ / "config.json");
    config.merge_patch(patch);
    Write(model_ / "config.json", config.dump());
  }
  // As a pre-training checkpoint is: no classifier, heads of other tasks.
  void MakeEncoder() {
    EditConfig({{"architectures", {"BertForPreTraining"}}});
    RenameTensors(model_ / "model.safetensors",
                  [](const std::string& name) { return name.starts_with("classifier.") ? "cls." + name : name; });
  }
  void SetPooling(const json& modes) { Write(model_ / "1_Pooling" / "config.json", modes.dump()); }

  const TemporaryDirectory directory_;
  const fs::path root_ = directory_.path();
  const fs::path model_ = root_ / "model";
};

TEST(ParseLabelsTest, TakesNamesById) {
  const LabelInfo info = ParseLabels(json::parse(R"({"id2label": {"1": "yes", "0": "no", "2": "so"}})"));
  EXPECT_THAT(info.labels, ElementsAre("no", "yes", "so"));
  EXPECT_EQ(info.problem, ProblemType::kSingleLabel);
  EXPECT_FALSE(info.problem_is_stated);
}

TEST(ParseLabelsTest, TenLabelsAreInTheOrderOfTheirNumbers) {
  json config;
  for (int i = 0; i < 12; ++i) {
    config["id2label"][std::to_string(i)] = "name" + std::to_string(i);  // "10" sorts before "2"
  }
  EXPECT_EQ(ParseLabels(config).labels[2], "name2");
  EXPECT_EQ(ParseLabels(config).labels[11], "name11");
}

TEST(ParseLabelsTest, MakesNamesWhereThereAreNone) {
  EXPECT_THAT(ParseLabels(json::parse(R"({"num_labels": 3})")).labels, ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
  EXPECT_THAT(ParseLabels(json::object()).labels, ElementsAre("LABEL_0", "LABEL_1"));  // transformers' default
  EXPECT_THAT(ParseLabels(json::object(), 3).labels, ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
}

TEST(ParseLabelsTest, TakesTheProblemType) {
  const LabelInfo multi =
      ParseLabels(json::parse(R"({"num_labels": 1, "problem_type": "multi_label_classification"})"));
  EXPECT_EQ(multi.problem, ProblemType::kMultiLabel);
  EXPECT_TRUE(multi.problem_is_stated);
  EXPECT_TRUE(ParseLabels(json::parse(R"({"problem_type": "single_label_classification"})")).problem_is_stated);
}

TEST(ParseLabelsTest, RefusesWhatIsNotAClassifier) {
  const auto error = [](const char* config) { return ErrorOf([&] { ParseLabels(json::parse(config)); }); };
  EXPECT_THAT(error(R"({"problem_type": "regression"})"), HasSubstr("unsupported: config.json describes a regression"));
  EXPECT_THAT(error(R"({"num_labels": 1})"), HasSubstr("unsupported: config.json describes a regression"));
  EXPECT_THAT(error(R"({"problem_type": "ranking"})"), HasSubstr("invalid file: config.json: problem_type 'ranking'"));
  EXPECT_THAT(error(R"({"num_labels": 0})"), HasSubstr("invalid file: config.json: num_labels: expected 1 to"));
  EXPECT_THAT(error(R"({"num_labels": 1e18})"), HasSubstr("num_labels: expected 1 to"));
  EXPECT_THAT(error(R"({"id2label": {"0": "a", "2": "b"}})"), HasSubstr("expected ids 0 to 1"));
  EXPECT_THAT(error(R"({"id2label": {"0": "a", "-1": "b"}})"), HasSubstr("got '-1'"));
  EXPECT_THAT(error(R"({"id2label": {"0": "a", "1": 7}})"), HasSubstr("got '1': 7"));
  EXPECT_THAT(error(R"({"id2label": {"0": "a", "1": "a"}})"), HasSubstr("two labels are called 'a'"));
  EXPECT_THAT(error(R"({"id2label": {"0": "a", "00": "b"}})"), HasSubstr("expected ids 0 to 1"));
  EXPECT_THAT(error(R"({"id2label": "abc"})"), HasSubstr("invalid file: config.json: id2label"));
}

TEST_F(DirectoryTest, TheCacheLeadsToTheSnapshotThatMainNames) {
  const fs::path entry = root_ / "models--org--name";
  fs::create_directories(entry / "snapshots");
  fs::rename(model_, entry / "snapshots" / "abc123");
  fs::create_directories(entry / "snapshots" / "older");
  Write(entry / "refs" / "main", "abc123\n");
  EXPECT_EQ(ResolveCacheEntry(entry), entry / "snapshots" / "abc123");
  EXPECT_EQ(ResolveCacheEntry(kTinyBert), kTinyBert);
  EXPECT_EQ(Model::Load(entry).info().path, entry / "snapshots" / "abc123");

  for (const char* revision : {"gone", "", "..", "older/../abc123"}) {
    Write(entry / "refs" / "main", revision);
    EXPECT_THAT(ErrorOf([&] { ResolveCacheEntry(entry); }), HasSubstr("not found")) << revision;
  }
  fs::remove(entry / "refs" / "main");
  EXPECT_THAT(ErrorOf([&] { ResolveCacheEntry(entry); }), HasSubstr("refs/main"));
}

TEST_F(DirectoryTest, AClassifierKnowsItsLabelsAndLength) {
  const ModelInfo info = Model::Load(model_).info();
  EXPECT_THAT(info.labels, ElementsAre("negative", "neutral", "positive"));
  EXPECT_EQ(info.model_type, "bert");
  EXPECT_EQ(info.max_length, 128);
  EXPECT_TRUE(info.problem_is_stated);
  EXPECT_TRUE(info.ignored.empty());
  EXPECT_EQ(info.stored_bytes, 4 * info.base_parameters);
}

TEST_F(DirectoryTest, TheMaximumLengthIsTheSmallerOfTokenizerAndPositions) {
  json tokenizer = ReadJson(model_ / "tokenizer_config.json");
  tokenizer["model_max_length"] = 50;
  Write(model_ / "tokenizer_config.json", tokenizer.dump());
  EXPECT_EQ(Model::Load(model_).info().max_length, 50);
  tokenizer["model_max_length"] = 1e30;  // "no limit"
  Write(model_ / "tokenizer_config.json", tokenizer.dump());
  EXPECT_EQ(Model::Load(model_).info().max_length, 128);
}

TEST_F(DirectoryTest, AMissingHeadIsAnErrorWhereTheConfigPromisesOne) {
  RenameTensors(model_ / "model.safetensors",
                [](const std::string& name) { return name == "classifier.bias" ? std::string() : name; });
  EXPECT_THAT(ErrorOf([&] { Model::Load(model_); }), HasSubstr("lacks tensor 'classifier.bias' [3]"));
}

TEST_F(DirectoryTest, ACheckpointWithoutAHeadIsAnEncoderAndSaysWhatItIgnores) {
  MakeEncoder();
  const Model model = Model::Load(model_);
  EXPECT_TRUE(model.info().labels.empty());
  EXPECT_THAT(model.info().ignored, ElementsAre("cls.classifier.bias", "cls.classifier.weight"));
  EXPECT_THAT(PrintGraph(model.graph()), HasSubstr("features = Tanh("));  // BERT's own pooler
}

TEST_F(DirectoryTest, TensorsWithoutThePrefixAreFound) {
  MakeEncoder();
  RenameTensors(model_ / "model.safetensors",
                [](const std::string& name) { return name.starts_with("bert.") ? name.substr(5) : name; });
  EXPECT_THAT(PrintGraph(Model::Load(model_).graph()), HasSubstr("const encoder.layer.0.attention.self.query.weight"));
}

TEST_F(DirectoryTest, PoolingIsObeyed) {
  MakeEncoder();
  SetPooling({{"word_embedding_dimension", 32}, {"pooling_mode_mean_tokens", true}, {"pooling_mode_cls_token", false}});
  const Model mean = Model::Load(model_);
  EXPECT_THAT(PrintGraph(mean.graph()), HasSubstr("features = laconic.MeanPool("));
  EXPECT_THAT(mean.info().ignored, ::testing::Contains("bert.pooler.dense.weight"));
  SetPooling({{"pooling_mode_mean_tokens", false}, {"pooling_mode_cls_token", true}});
  EXPECT_THAT(PrintGraph(Model::Load(model_).graph()), HasSubstr("features = Gather("));
}

TEST_F(DirectoryTest, OtherPoolingIsRefused) {
  MakeEncoder();
  SetPooling({{"pooling_mode_mean_tokens", false}, {"pooling_mode_max_tokens", true}});
  const std::string maximum = ErrorOf([&] { Model::Load(model_); });
  EXPECT_THAT(maximum, HasSubstr("unsupported"));
  EXPECT_THAT(maximum, HasSubstr("pooling_mode_max_tokens"));
  EXPECT_THAT(maximum, HasSubstr("1_Pooling/config.json"));
  SetPooling({{"pooling_mode_mean_tokens", true}, {"pooling_mode_cls_token", true}});
  EXPECT_THAT(ErrorOf([&] { Model::Load(model_); }), HasSubstr("got 2 modes"));
}

TEST_F(DirectoryTest, LayerNormsMayBeCalledGammaAndBeta) {
  const std::string graph = PrintGraph(Model::Load(kTinyBert).graph());
  RenameTensors(model_ / "model.safetensors", [](const std::string& name) {
    const std::size_t dot = name.rfind('.');
    const bool is_norm = name.substr(0, dot).ends_with("LayerNorm");
    return is_norm ? name.substr(0, dot) + (name.ends_with("weight") ? ".gamma" : ".beta") : name;
  });
  const Model model = Model::Load(model_);
  EXPECT_EQ(PrintGraph(model.graph()), graph);  // the names and numbers of the digests
  EXPECT_TRUE(model.info().ignored.empty());
}

TEST_F(DirectoryTest, SavingAndLoadingIsTheIdentity) {
  for (const char* name : {"tests/data/tiny_bert", "tests/data/tiny_electra", "tests/data/tiny_distilbert"}) {
    const Model model = Model::Load(name);
    const fs::path saved = root_ / fs::path(name).filename();
    model.Save(saved);
    const Model loaded = Model::Load(saved);
    EXPECT_EQ(PrintGraph(loaded.graph()), PrintGraph(model.graph()));
    EXPECT_EQ(loaded.info().labels, model.info().labels);
    EXPECT_EQ(loaded.info().problem, model.info().problem);
    EXPECT_EQ(loaded.info().max_length, model.info().max_length);
    EXPECT_EQ(loaded.info().base_parameters, model.info().base_parameters);
    EXPECT_EQ(loaded.info().model_type, model.info().model_type);
    const std::string text = "ra manedafi, fipilasa!";
    EXPECT_EQ(loaded.tokenizer().Encode(text, 128).ids, model.tokenizer().Encode(text, 128).ids);
    EXPECT_NO_THROW(VerifyDigests(saved));
    EXPECT_THAT(ErrorOf([&] { model.Save(saved); }), HasSubstr("use --force"));
    EXPECT_NO_THROW(loaded.Save(saved, /*force=*/true));  // onto what it was loaded from
    EXPECT_EQ(PrintGraph(Model::Load(saved).graph()), PrintGraph(model.graph()));
  }
}

TEST_F(DirectoryTest, TheManifestIsTheAuthority) {
  const fs::path saved = root_ / "saved";
  Model::Load(model_).Save(saved);
  const json manifest = ReadJson(saved / "laconic.json");
  const auto error_with = [&](const json& patch) {
    json changed = manifest;
    changed.merge_patch(patch);
    Write(saved / "laconic.json", changed.dump());
    return ErrorOf([&] { Model::Load(saved); });
  };
  Write(saved / "config.json", "{}");
  EXPECT_EQ(error_with({{"labels", {"a", "b", "c"}}, {"max_length", 20}}), "no error");
  EXPECT_THAT(error_with({{"schema_version", 2}}), HasSubstr("unsupported: schema_version 2"));
  EXPECT_THAT(error_with({{"schema_version", nullptr}}), HasSubstr("schema_version"));
  EXPECT_THAT(error_with({{"labels", {"a", "b"}}}), HasSubstr("invalid file"));
  EXPECT_THAT(error_with({{"labels", {1, 2, 3}}}), HasSubstr("'labels': expected a list of names"));
  EXPECT_THAT(error_with({{"problem_type", "regression"}}), HasSubstr("problem_type 'regression'"));
  EXPECT_THAT(error_with({{"max_length", 0}}), HasSubstr("expected a positive max_length"));
}

TEST_F(DirectoryTest, AnOnnxFileTakesLabelsAndTokenizerFromWhatLiesBesideIt) {
  const Model model = Model::Load(model_);
  const fs::path home = root_ / "optimum";
  for (const char* name : {"model.onnx", "onnx/model.onnx"}) {
    fs::remove_all(home);
    for (const fs::directory_entry& entry : fs::directory_iterator(model_)) {
      if (entry.path().extension() != ".safetensors") {
        fs::create_directories(home);
        fs::copy(entry.path(), home / entry.path().filename());
      }
    }
    fs::create_directories((home / name).parent_path());
    WriteOnnx(model.graph(), home / name, {});
    for (const fs::path& path : {home, home / name}) {
      const Model loaded = Model::Load(path);
      EXPECT_EQ(PrintGraph(loaded.graph()), PrintGraph(model.graph()));
      EXPECT_EQ(loaded.info().labels, model.info().labels);
      EXPECT_EQ(loaded.info().problem, model.info().problem);
      EXPECT_EQ(loaded.info().max_length, model.info().max_length);
      EXPECT_EQ(loaded.tokenizer().vocabulary_size(), model.tokenizer().vocabulary_size());
      loaded.Save(root_ / "saved", /*force=*/true);
      EXPECT_EQ(Model::Load(root_ / "saved").tokenizer().file_names(), model.tokenizer().file_names());
    }
  }
  json config = ReadJson(home / "config.json");
  config["id2label"] = {{"0", "only"}, {"1", "two"}};
  Write(home / "config.json", config.dump());
  EXPECT_THAT(ErrorOf([&] { Model::Load(home); }), HasSubstr("names 2 labels, but the graph gives 3"));
  config.erase("id2label");
  config["problem_type"] = "multi_label_classification";
  Write(home / "config.json", config.dump());
  const ModelInfo info = Model::Load(home).info();
  EXPECT_THAT(info.labels, ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
  EXPECT_EQ(info.problem, ProblemType::kMultiLabel);
  EXPECT_TRUE(info.problem_is_stated);
}

// Or else data that the original takes would be refused.
TEST_F(DirectoryTest, AProblemThatIsNotStatedIsNotStatedByTheArtifactEither) {
  EditConfig({{"problem_type", nullptr}});
  Model::Load(model_).Save(root_ / "saved");
  EXPECT_FALSE(ReadJson(root_ / "saved" / "laconic.json").contains("problem_type"));
  EXPECT_FALSE(Model::Load(root_ / "saved").info().problem_is_stated);
}

TEST_F(DirectoryTest, StagingAnArtifactLeavesNothing) {
  StageArtifact(root_ / "saved", /*force=*/false);
  EXPECT_FALSE(fs::exists(root_ / "saved"));
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), {}), 1) << "the model";
  EXPECT_THAT(ErrorOf([&] { StageArtifact(model_, /*force=*/true); }), HasSubstr("has no laconic.json"));
}

TEST_F(DirectoryTest, AnOnnxFileAloneBecomesAnArtifactWithoutATokenizer) {
  const Model model = Model::Load(model_);
  WriteOnnx(model.graph(), root_ / "alone.onnx", {});
  Model::Load(root_ / "alone.onnx").Save(root_ / "saved");
  const Model loaded = Model::Load(root_ / "saved");
  EXPECT_EQ(PrintGraph(loaded.graph()), PrintGraph(model.graph()));
  EXPECT_THAT(loaded.info().labels, ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
  EXPECT_THAT(ErrorOf([&] { loaded.tokenizer(); }), HasSubstr("brings no tokenizer"));
}

// The sizes of an input are a file's own choice.
TEST_F(DirectoryTest, AnOnnxFileDoesNotDictateTheNumberOfLabels) {
  Graph graph;
  const ValueId ids = graph.AddInput("input_ids", {DType::kS64, {"batch", std::int64_t{1} << 40}});
  graph.AddOutput(graph.AddNode("Cast", "logits", {ids}, {{"to", std::string("f32")}}));
  const fs::path file = root_ / "labels.onnx";
  WriteOnnx(graph, file, {});
  EXPECT_THAT(ErrorOf([&] { Model::Load(file); }), HasSubstr("expected at most 1000000 labels, got 1099511627776"));
}

TEST_F(DirectoryTest, DigestsFindAFlippedByte) {
  const fs::path saved = root_ / "saved";
  Model::Load(model_).Save(saved);
  std::string data = ReadFile(saved / "model.onnx.data", 1 << 20);
  data[data.size() / 2] ^= 1;
  Write(saved / "model.onnx.data", data);
  EXPECT_EQ(ErrorOf([&] { Model::Load(saved); }), "no error");  // the digests are not checked at each load
  EXPECT_THAT(ErrorOf([&] { VerifyDigests(saved); }), HasSubstr("model.onnx.data': expected SHA-256"));
  fs::remove(saved / "vocab.txt");
  EXPECT_NE(ErrorOf([&] { VerifyDigests(saved); }), "no error");
}

}  // namespace
}  // namespace laconic::hf
