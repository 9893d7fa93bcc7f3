// What is written is what is read: graph -> file -> graph is the textual identity, for each opset and kind of weights.
#include "formats/onnx/onnx.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "formats/onnx/test_graphs.h"
#include "graph/text_form.h"
#include "laconic/error.h"

namespace laconic::onnx_file {
namespace {

namespace fs = std::filesystem;

class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_(fs::temp_directory_path() / ("laconic_onnx_test_" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~TemporaryDirectory() { fs::remove_all(path_); }
  fs::path operator/(std::string_view name) const { return path_ / name; }

 private:
  fs::path path_;
};

class OnnxTest : public ::testing::Test {
 protected:
  std::string RoundTrip(const Graph& graph, const OnnxWriteOptions& options) {
    WriteOnnx(graph, directory_ / "model.onnx", options);
    const OnnxModel model = ReadOnnx(directory_ / "model.onnx");
    EXPECT_EQ(model.opset, options.opset);
    EXPECT_EQ(model.metadata, options.metadata);
    return PrintGraph(model.graph);
  }

  TemporaryDirectory directory_;
};

struct Case {
  const char* name;
  TestGraphOptions options;
};

const std::vector<Case> kCases = {
    {"float", {}},
    {"float, tanh gelu, mean pool, no token types",
     {.has_token_types = false, .is_mean_pooled = true, .head_activation = "Relu", .approximate = "tanh"}},
    {"half", {.weights = Weights::kHalf}},
    {"bfloat16", {.weights = Weights::kBFloat16}},
    {"dynamic", {.weights = Weights::kDynamic}},
    {"dynamic, mean pool", {.weights = Weights::kDynamic, .is_mean_pooled = true}},
    {"weight-only", {.weights = Weights::kWeightOnly}},
};

TEST_F(OnnxTest, ComesBackTheSame) {
  for (const Case& test : kCases) {
    const Graph graph = MakeTestGraph(test.options);
    const std::string text = PrintGraph(graph);
    for (int opset = kMinOnnxOpset; opset <= kMaxOnnxOpset; ++opset) {
      for (const bool external : {false, true}) {
        SCOPED_TRACE(std::string(test.name) + ", opset " + std::to_string(opset) + (external ? ", external" : ""));
        const std::map<std::string, std::string> metadata = {{"laconic.recipe", "{}"}};
        ASSERT_EQ(RoundTrip(graph, {.opset = opset, .external_data = external, .force = true, .metadata = metadata}),
                  text);
      }
    }
  }
}

}  // namespace
}  // namespace laconic::onnx_file
