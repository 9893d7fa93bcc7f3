// What is written is what is read: graph -> file -> graph is the textual identity, for each opset and kind of weights.
#include "formats/onnx/onnx.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/testing.h"
#include "formats/onnx/test_graphs.h"
#include "graph/text_form.h"
#include "laconic/error.h"
#include "onnx-ml.pb.h"

namespace laconic::onnx_file {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxBytes = std::int64_t{1} << 20;

Tensor Floats(const Shape& shape, float value) {
  return Tensor::FromValues<float>(shape, std::vector<float>(static_cast<std::size_t>(NumElements(shape)), value));
}

// x [batch, K] -> y [batch, N]
Graph OneLinear(const Tensor& weight) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", weight.shape()[0]}});
  graph.AddOutput(graph.AddNode("laconic.Linear", "y", {x, graph.AddInitializer("weight", weight)}));
  return graph;
}

void ExpectError(ErrorCode code, const std::string& message, const std::function<void()>& body) {
  EXPECT_THAT(ErrorOf(code, body), ::testing::HasSubstr(message));
}

class OnnxTest : public ::testing::Test {
 protected:
  std::string RoundTrip(const Graph& graph, const OnnxWriteOptions& options) {
    WriteOnnx(graph, directory_ / "model.onnx", options);
    const OnnxModel model = ReadOnnx(directory_ / "model.onnx");
    EXPECT_EQ(model.opset, options.opset);
    EXPECT_EQ(model.metadata, options.metadata);
    return PrintGraph(model.graph);
  }

  std::ptrdiff_t NumFiles() const { return std::distance(fs::directory_iterator(directory_), {}); }

  const TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

struct Case {
  const char* name = "";
  TestGraphOptions options;
};

std::vector<Case> Cases() {
  return {
      {"float", {}},
      {"float, tanh gelu, mean pool, no token types",
       {.has_token_types = false, .is_mean_pooled = true, .head_activation = "Relu", .approximate = "tanh"}},
      {"half", {.weights = Weights::kHalf}},
      {"bfloat16", {.weights = Weights::kBFloat16}},
      {"dynamic", {.weights = Weights::kDynamic}},
      {"dynamic, mean pool", {.weights = Weights::kDynamic, .is_mean_pooled = true}},
      {"dynamic, a scale a text", {.weights = Weights::kDynamicTensor}},
      {"dynamic, smoothed, u8 weights", {.weights = Weights::kDynamic, .codes_dtype = DType::kU8, .is_smoothed = true}},
      {"dynamic, a scale a weight", {.weights = Weights::kDynamic, .per_channel = false}},
      {"dynamic, a scale a text and a u8 weight",
       {.weights = Weights::kDynamicTensor, .codes_dtype = DType::kU8, .per_channel = false, .is_smoothed = true}},
      {"static", {.weights = Weights::kStatic}},
      {"static, mean pool, u8 weights",
       {.weights = Weights::kStatic, .is_mean_pooled = true, .codes_dtype = DType::kU8}},
      {"static, s8 rows, smoothed",
       {.weights = Weights::kStatic, .rows_dtype = DType::kS8, .per_channel = false, .is_smoothed = true}},
      {"static, tables in blocks, shared layers",
       {.weights = Weights::kStatic, .embedding_block = 4, .shares_layers = true}},
      {"weight-only", {.weights = Weights::kWeightOnly}},
  };
}

TEST_F(OnnxTest, ComesBackTheSame) {
  for (const Case& test : Cases()) {
    const Graph graph = MakeTestGraph(test.options);
    const std::string text = PrintGraph(graph);
    for (int opset = kMinOnnxOpset; opset <= kMaxOnnxOpset; ++opset) {
      for (const bool external : {false, true}) {
        for (const OnnxQuantization quantization : {OnnxQuantization::kQdq, OnnxQuantization::kQOperator}) {
          SCOPED_TRACE(std::string(test.name) + ", opset " + std::to_string(opset) + (external ? ", external" : "") +
                       (quantization == OnnxQuantization::kQdq ? ", QDQ" : ", QOperator"));
          const OnnxWriteOptions options = {.opset = opset,
                                            .quantization = quantization,
                                            .external_data = external,
                                            .force = true,
                                            .metadata = {{"laconic.recipe", "{}"}}};
          ASSERT_EQ(RoundTrip(graph, options), text);
        }
      }
    }
  }
}

// Stays whole: its type is a number in a file.
TEST_F(OnnxTest, AttentionKeepsItsPrecision) {
  Graph graph;
  const ValueId x = graph.AddInput("x", {DType::kF32, {"batch", "sequence", 4}});
  const std::int64_t heads = 2;
  graph.AddOutput(graph.AddNode("Attention", "y", {x, x, x},
                                {{"q_num_heads", heads},
                                 {"kv_num_heads", heads},
                                 {"is_causal", std::int64_t{1}},
                                 {"softmax_precision", std::string("f32")}}));
  EXPECT_EQ(RoundTrip(graph, {.opset = 23}), PrintGraph(graph));
}

TEST_F(OnnxTest, WritesTheSameBytesEachTime) {
  const Graph graph = MakeTestGraph({.weights = Weights::kDynamic});
  for (const char* name : {"a.onnx", "b.onnx"}) {
    WriteOnnx(graph, directory_ / name, {});
  }
  EXPECT_EQ(ReadFile(directory_ / "a.onnx", kMaxBytes), ReadFile(directory_ / "b.onnx", kMaxBytes));
}

TEST_F(OnnxTest, WritesStridedViewsInRowMajorOrder) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Tensor tensor = Tensor::FromValues<float>({2, 3}, values);
  const Graph graph = OneLinear(tensor.Transposed());
  for (const bool external : {false, true}) {
    EXPECT_EQ(RoundTrip(graph, {.external_data = external, .force = true}), PrintGraph(graph));
  }
}

TEST_F(OnnxTest, KeepsFilesThatExist) {
  for (const char* existing : {"model.onnx", "model.onnx.data"}) {
    AtomicFile file(directory_ / existing, true);
    file.Write("mine");
    file.Commit();
    ExpectError(ErrorCode::kInvalidArgument, "exists",
                [&] { WriteOnnx(MakeTestGraph({}), directory_ / "model.onnx", {.external_data = true}); });
    EXPECT_EQ(ReadFile(directory_ / existing, kMaxBytes), "mine");
    EXPECT_EQ(NumFiles(), 1) << "nothing else is left behind";
    fs::remove(directory_ / existing);
  }
}

TEST_F(OnnxTest, RefusesOpsetsItDoesNotKnow) {
  for (const int opset : {kMinOnnxOpset - 1, kMaxOnnxOpset + 1}) {
    ExpectError(ErrorCode::kInvalidArgument, std::to_string(opset),
                [&] { WriteOnnx(MakeTestGraph({}), directory_ / "model.onnx", {.opset = opset}); });
  }
}

TEST_F(OnnxTest, MapsExternalData) {
  const Graph graph = OneLinear(Floats({64, 3}, 0.5F));
  WriteOnnx(graph, directory_ / "model.onnx", {.external_data = true});
  EXPECT_LT(fs::file_size(directory_ / "model.onnx"), 1000);
  const OnnxModel model = ReadOnnx(directory_ / "model.onnx");
  const Tensor* weight = model.graph.FindInitializer(*model.graph.FindValue("weight"));
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->values<float>()[1], 0.5F);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(weight->data()) % 64, 0);
  // A view, not a copy: what is written to the file shows.
  const float changed = 9;
  std::fstream file(directory_ / "model.onnx.data", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(sizeof changed);
  file.write(reinterpret_cast<const char*>(&changed), sizeof changed);
  file.close();
  EXPECT_EQ(weight->values<float>()[1], 9);
}

TEST_F(OnnxTest, PointsLargeModelsToExternalData) {
  { std::ofstream(directory_ / "zeros"); }
  fs::resize_file(directory_ / "zeros", std::uintmax_t{1} << 31);  // sparse
  const std::int64_t rows = std::int64_t{1} << 28;
  const Graph graph = OneLinear(Tensor::MapFile(MappedFile::Open(directory_ / "zeros"), 0, DType::kF32, {rows, 2}));
  ExpectError(ErrorCode::kInvalidArgument, "external data", [&] { WriteOnnx(graph, directory_ / "model.onnx", {}); });
  EXPECT_EQ(NumFiles(), 1);
}

// A change to a model after which reading it must fail so.
struct Spoilt {
  ErrorCode code;
  std::string message;
  std::function<void(::onnx::ModelProto*)> spoil;
};

// The file as protobuf, to be spoilt and written again.
class HostileOnnxTest : public OnnxTest {
 protected:
  ::onnx::ModelProto Valid(bool external = false) {
    WriteOnnx(OneLinear(Floats({64, 3}, 0.5F)), directory_ / "model.onnx", {.external_data = external, .force = true});
    ::onnx::ModelProto model;
    EXPECT_TRUE(model.ParseFromString(ReadFile(directory_ / "model.onnx", kMaxBytes)));
    return model;
  }

  void WriteBytes(std::string_view bytes) {
    AtomicFile file(directory_ / "model.onnx", true);
    file.Write(bytes);
    file.Commit();
  }

  void ExpectAllRefused(const std::vector<Spoilt>& cases, bool external) {
    for (const Spoilt& test : cases) {
      SCOPED_TRACE(test.message);
      ::onnx::ModelProto model = Valid(external);
      test.spoil(&model);
      WriteBytes(model.SerializeAsString());
      ExpectError(test.code, test.message, [this] { ReadOnnx(directory_ / "model.onnx"); });
    }
  }

  static ::onnx::TensorProto* Weight(::onnx::ModelProto* model) {
    for (::onnx::TensorProto& tensor : *model->mutable_graph()->mutable_initializer()) {
      if (tensor.name() == "weight") return &tensor;
    }
    return nullptr;
  }

  static ::onnx::NodeProto* Node(::onnx::ModelProto* model) { return model->mutable_graph()->mutable_node(0); }
};

TEST_F(HostileOnnxTest, TensorsAreChecked) {
  const std::vector<Spoilt> cases = {
      {ErrorCode::kInvalidFile, "expected 195 elements", [](auto* m) { Weight(m)->set_dims(0, 65); }},
      {ErrorCode::kInvalidFile, "negative", [](auto* m) { Weight(m)->set_dims(0, -64); }},
      {ErrorCode::kInvalidFile, "too many elements", [](auto* m) { Weight(m)->set_dims(0, std::int64_t{1} << 62); }},
      {ErrorCode::kInvalidFile, "shape", [](auto* m) { Weight(m)->mutable_dims()->Resize(10000, 1); }},
      {ErrorCode::kInvalidFile, "got 767 bytes", [](auto* m) { Weight(m)->mutable_raw_data()->pop_back(); }},
      {ErrorCode::kUnsupported, "element type 8", [](auto* m) { Weight(m)->set_data_type(8); }},
      {ErrorCode::kInvalidFile, "expected 192 elements of f32, got 0", [](auto* m) { Weight(m)->clear_raw_data(); }},
      {ErrorCode::kInvalidFile, "expected 192 elements of s16, got 1",
       [](auto* m) {
         Weight(m)->clear_raw_data();
         Weight(m)->set_data_type(::onnx::TensorProto::INT16);
         Weight(m)->add_int32_data(1);
       }},
      {ErrorCode::kInvalidFile, "neither 0 nor 1",
       [](auto* m) {
         Weight(m)->set_data_type(::onnx::TensorProto::BOOL);
         Weight(m)->mutable_raw_data()->assign(192, '\2');
       }},
      {ErrorCode::kInvalidFile, "two values are called 'weight'",
       [](auto* m) { m->mutable_graph()->add_initializer()->CopyFrom(*Weight(m)); }},
      {ErrorCode::kInvalidFile, "without a name", [](auto* m) { Weight(m)->clear_name(); }},
      {ErrorCode::kInvalidFile, "expected f32, got f64",
       [](auto* m) {
         Weight(m)->set_dims(0, 32);
         Weight(m)->set_data_type(::onnx::TensorProto::DOUBLE);
       }},
      {ErrorCode::kInvalidFile, "rows of the second matrix",
       [](auto* m) {
         Weight(m)->set_dims(0, 3);
         Weight(m)->set_dims(1, 64);
       }},
      {ErrorCode::kUnsupported, "sparse", [](auto* m) { m->mutable_graph()->add_sparse_initializer(); }},
  };
  ExpectAllRefused(cases, false);
}

TEST_F(HostileOnnxTest, ExternalDataIsChecked) {
  const auto entry = [](const char* key, const char* value) {
    return [=](::onnx::ModelProto* model) {
      for (::onnx::StringStringEntryProto& pair : *Weight(model)->mutable_external_data()) {
        if (pair.key() == key) pair.set_value(value);
      }
    };
  };
  const std::vector<Spoilt> cases = {
      {ErrorCode::kInvalidFile, "below the model's directory", entry("location", "../model.onnx.data")},
      {ErrorCode::kInvalidFile, "below the model's directory", entry("location", "a/../../model.onnx.data")},
      {ErrorCode::kInvalidFile, "below the model's directory", entry("location", "/etc/hostname")},
      {ErrorCode::kInvalidFile, "below the model's directory", entry("location", "")},
      {ErrorCode::kNotFound, "elsewhere", entry("location", "elsewhere")},
      {ErrorCode::kInvalidArgument, "a directory", entry("location", ".")},
      {ErrorCode::kInvalidFile, "past the file's", entry("offset", "64")},
      {ErrorCode::kInvalidFile, "past the file's", entry("offset", "9223372036854775807")},
      {ErrorCode::kInvalidFile, "expected a size", entry("offset", "9223372036854775808")},
      {ErrorCode::kInvalidFile, "expected a size", entry("offset", "-64")},
      {ErrorCode::kInvalidFile, "expected a size", entry("offset", "0x0")},
      {ErrorCode::kInvalidFile, "expected 768 bytes, got the length 764", entry("length", "764")},
      {ErrorCode::kInvalidFile, "expected a size", entry("length", "")},
      {ErrorCode::kInvalidFile, "too many elements", [](auto* m) { Weight(m)->set_dims(0, std::int64_t{1} << 60); }},
  };
  ExpectAllRefused(cases, true);
}

// ONNX recommends whole pages, and asks for nothing.
TEST_F(HostileOnnxTest, ExternalDataMayLieAnywhere) {
  ::onnx::ModelProto model = Valid(true);
  for (::onnx::StringStringEntryProto& entry : *Weight(&model)->mutable_external_data()) {
    if (entry.key() == "offset") entry.set_value("1");
    if (entry.key() == "location") entry.set_value("weights.bin");
  }
  WriteBytes(model.SerializeAsString());
  const std::string data = ReadFile(directory_ / "model.onnx.data", kMaxBytes);
  std::ofstream(directory_ / "weights.bin", std::ios::binary) << '?' << data;
  const OnnxModel read = ReadOnnx(directory_ / "model.onnx");
  EXPECT_THAT(read.files, ::testing::ElementsAre(directory_ / "model.onnx", directory_ / "weights.bin"));
  const Graph& graph = read.graph;
  EXPECT_THAT(graph.FindInitializer(*graph.FindValue("weight"))->values<float>(), ::testing::Each(0.5F));
}

TEST_F(HostileOnnxTest, StructureIsChecked) {
  const std::vector<Spoilt> cases = {
      {ErrorCode::kInvalidFile, "names no opset", [](auto* m) { m->clear_opset_import(); }},
      {ErrorCode::kUnsupported, "opset 10", [](auto* m) { m->mutable_opset_import(0)->set_version(10); }},
      {ErrorCode::kUnsupported, "opset 29", [](auto* m) { m->mutable_opset_import(0)->set_version(29); }},
      {ErrorCode::kInvalidFile, "'nowhere' is used, but nothing computes it",
       [](auto* m) { Node(m)->set_input(0, "nowhere"); }},
      {ErrorCode::kInvalidFile, "a cycle", [](auto* m) { Node(m)->set_input(0, Node(m)->output(0)); }},
      {ErrorCode::kInvalidFile, "two values are called 'x'", [](auto* m) { Node(m)->set_output(0, "x"); }},
      {ErrorCode::kInvalidFile, "without outputs", [](auto* m) { Node(m)->set_output(0, ""); }},
      {ErrorCode::kUnsupported, "com.example.MatMul", [](auto* m) { Node(m)->set_domain("com.example"); }},
      {ErrorCode::kUnsupported, "Loop", [](auto* m) { Node(m)->set_op_type("Loop"); }},
      {ErrorCode::kInvalidFile, "without outputs",
       [](auto* m) {
         ::onnx::NodeProto* node = m->mutable_graph()->add_node();
         node->set_op_type("Relu");
         node->add_input("x");
       }},
      {ErrorCode::kUnsupported, "attribute 'body'",
       [](auto* m) {
         ::onnx::AttributeProto* attribute = Node(m)->add_attribute();
         attribute->set_name("body");
         attribute->set_type(::onnx::AttributeProto::GRAPH);
       }},
      {ErrorCode::kInvalidFile, "two attributes",
       [](auto* m) {
         for (int i = 0; i < 2; ++i) {
           ::onnx::AttributeProto* attribute = Node(m)->add_attribute();
           attribute->set_name("axis");
           attribute->set_type(::onnx::AttributeProto::INT);
         }
       }},
      {ErrorCode::kInvalidFile, "'to'",
       [](auto* m) {
         Node(m)->set_op_type("Cast");
         Node(m)->mutable_input()->RemoveLast();
       }},
      {ErrorCode::kUnsupported, "expected a tensor",
       [](auto* m) { m->mutable_graph()->mutable_input(0)->mutable_type()->Clear(); }},
      {ErrorCode::kUnsupported, "default other than",
       [](auto* m) {
         m->mutable_graph()->add_initializer()->CopyFrom(*Weight(m));
         m->mutable_graph()->mutable_initializer()->rbegin()->set_name("token_type_ids");
         m->mutable_graph()->add_input()->CopyFrom(m->graph().input(0));
         m->mutable_graph()->mutable_input()->rbegin()->set_name("token_type_ids");
       }},
      {ErrorCode::kInvalidFile, "'nowhere' is used, but nothing computes it",
       [](auto* m) { m->mutable_graph()->mutable_output(0)->set_name("nowhere"); }},
  };
  ExpectAllRefused(cases, false);
}

TEST_F(HostileOnnxTest, EachTruncationIsRefused) {
  const std::string bytes = Valid().SerializeAsString();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    SCOPED_TRACE(size);
    WriteBytes(bytes.substr(0, size));
    EXPECT_THROW(ReadOnnx(directory_ / "model.onnx"), Error);
  }
}

TEST_F(HostileOnnxTest, FlippedBitsNeverCrash) {
  WriteOnnx(MakeTestGraph({.weights = Weights::kDynamic, .num_layers = 1}), directory_ / "model.onnx", {.force = true});
  const std::string bytes = ReadFile(directory_ / "model.onnx", kMaxBytes);
  std::mt19937 random(7);
  int num_refused = 0;
  for (int i = 0; i < 500; ++i) {
    std::string spoilt = bytes;
    for (int j = 0; j <= i % 4; ++j) {
      char& byte = spoilt[random() % spoilt.size()];
      byte = static_cast<char>(byte ^ static_cast<char>(1U << random() % 8));
    }
    WriteBytes(spoilt);
    try {
      ReadOnnx(directory_ / "model.onnx");
    } catch (const Error&) {
      ++num_refused;
    }
  }
  EXPECT_GT(num_refused, 100);  // flips inside weights and names are no errors
}

TEST_F(HostileOnnxTest, OtherFilesAreRefused) {
  ExpectError(ErrorCode::kNotFound, "absent.onnx", [this] { ReadOnnx(directory_ / "absent.onnx"); });
  WriteBytes("{\"model_type\": \"bert\"}");
  ExpectError(ErrorCode::kInvalidFile, "not an ONNX model", [this] { ReadOnnx(directory_ / "model.onnx"); });
  ASSERT_EQ(::mkfifo((directory_ / "fifo.onnx").c_str(), 0600), 0);
  ExpectError(ErrorCode::kInvalidArgument, "FIFO", [this] { ReadOnnx(directory_ / "fifo.onnx"); });
}

}  // namespace
}  // namespace laconic::onnx_file
