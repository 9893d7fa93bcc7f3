// Models built to hurt: endless or deep graphs, functions that grow when they are called, odd orders and weights.
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "base/testing.h"
#include "formats/onnx/onnx.h"
#include "graph/text_form.h"
#include "laconic/error.h"
#include "onnx-ml.pb.h"

namespace laconic::onnx_file {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A field of bytes as protobuf writes it. Lengths take 5 bytes each, so that a message's size is known beforehand.
std::string Field(int number, std::string_view bytes) {
  std::string text(1, static_cast<char>(number << 3 | 2));
  std::size_t length = bytes.size();
  for (int i = 0; i < 4; ++i, length >>= 7U) {
    text += static_cast<char>((length & 0x7fU) | 0x80U);
  }
  return text + static_cast<char>(length) + std::string(bytes);
}

::onnx::NodeProto* AddNode(::onnx::GraphProto* graph, const std::string& op, const std::vector<std::string>& inputs,
                           const std::string& output) {
  ::onnx::NodeProto* node = graph->add_node();
  node->set_op_type(op);
  node->set_name(output + "_node");
  for (const std::string& input : inputs) {
    node->add_input(input);
  }
  node->add_output(output);
  return node;
}

::onnx::GraphProto* AddBranch(::onnx::NodeProto* choice, const std::string& name) {
  ::onnx::AttributeProto* attribute = choice->add_attribute();
  attribute->set_name(name);
  attribute->set_type(::onnx::AttributeProto::GRAPH);
  return attribute->mutable_g();
}

// A function x -> y.
::onnx::FunctionProto* AddFunction(::onnx::ModelProto* model, const std::string& name) {
  ::onnx::FunctionProto* function = model->add_functions();
  function->set_domain("mine");
  function->set_name(name);
  function->add_input("x");
  function->add_output("y");
  function->add_opset_import()->set_version(17);
  return function;
}

void AddCall(::onnx::FunctionProto* function, const std::string& op, const std::string& output) {
  ::onnx::NodeProto* node = function->add_node();
  node->set_domain("mine");
  node->set_op_type(op);
  node->set_name("call_" + op);
  node->add_input("x");
  node->add_output(output);
}

void AddValueInfo(google::protobuf::RepeatedPtrField<::onnx::ValueInfoProto>* infos, const std::string& name) {
  ::onnx::ValueInfoProto* info = infos->Add();
  info->set_name(name);
  info->mutable_type()->mutable_tensor_type()->set_elem_type(::onnx::TensorProto::FLOAT);
}

std::int64_t PeakKilobytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

class HostileGraphTest : public ::testing::Test {
 public:
  HostileGraphTest() {
    model_.add_opset_import()->set_version(17);
    AddValueInfo(graph()->mutable_input(), "x");
    AddValueInfo(graph()->mutable_output(), "y");
  }

 protected:
  ::onnx::GraphProto* graph() { return model_.mutable_graph(); }

  // A constant `name` [1] of bool.
  void AddTrue(const std::string& name) {
    ::onnx::TensorProto* tensor = graph()->add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(::onnx::TensorProto::BOOL);
    tensor->set_raw_data(std::string(1, '\1'));
  }

  void WriteBytes(std::string_view bytes) const { std::ofstream(file_, std::ios::binary) << bytes; }

  OnnxModel Read() const {
    WriteBytes(model_.SerializeAsString());
    return ReadOnnx(file_);
  }

  static void ExpectError(ErrorCode code, const std::vector<std::string>& says, const std::function<void()>& body) {
    const std::string error = ErrorOf(code, body).substr(0, 4000);
    for (const std::string& words : says) {
      EXPECT_THAT(error, HasSubstr(words));
    }
  }

  void ExpectRefused(ErrorCode code, const std::vector<std::string>& says) const {
    ExpectError(code, says, [this] { Read(); });
  }

  const TemporaryDirectory directory_;
  const fs::path file_ = directory_.path() / "model.onnx";
  ::onnx::ModelProto model_;
};

TEST_F(HostileGraphTest, TensOfMillionsOfMessagesAreRefusedBeforeTheyTakeMemory) {
  constexpr std::size_t kCount = 10'000'000;
  const auto many = [](const std::string& one) {
    std::string all;
    all.reserve(kCount * one.size());
    for (std::size_t i = 0; i < kCount; ++i) {
      all += one;
    }
    return all;
  };
  using std::string_literals::operator""s;
  constexpr int kGraph = 7;
  constexpr int kFunctions = 25;
  const auto in_branch = [](const std::string& bytes) { return Field(kGraph, Field(1, Field(5, Field(6, bytes)))); };
  const std::string node =
      "\x0a\x08\x12\x01y\x22\x03"
      "Abs"s;  // an output and an operator
  struct Case {
    const char* name;
    const char* says;
    std::string bytes;
  };
  const auto function = [](std::string bytes) {
    bytes = Field(1, bytes);
    bytes[0] = static_cast<char>(0xca);  // field 25 takes two bytes
    return bytes.insert(1, 1, '\1');
  };
  static_assert((kFunctions << 3 | 2) == 0xca);
  const std::string group = "\xa3\x06\xa4\x06"s;  // unknown, so that protobuf steps over it
  const Case cases[] = {
      {"nodes", "nodes, got 10000000", Field(kGraph, many(node))},
      {"empty nodes", "nodes, got 10000000", Field(kGraph, many("\x0a\0"s))},
      {"nodes of a branch", "nodes, got 10000001", in_branch(many("\x0a\0"s))},
      {"nodes of a function", "nodes, got 10000000", function(many("\x3a\0"s))},
      {"tensors", "messages and strings, got 10000001", Field(kGraph, many("\x2a\0"s))},
      {"inputs", "messages and strings, got 10000001", Field(kGraph, many("\x5a\0"s))},
      {"inputs of a node", "messages and strings, got 10000002", Field(kGraph, Field(1, many("\x0a\0"s)))},
      {"metadata", "messages and strings, got 10000000", many("\x72\0"s)},
      {"sizes of a type", "messages and strings, got 100000", Field(kGraph, Field(11, Field(2, many("\x0a\0"s))))},
      {"behind a group", "field 100 is a group", group + Field(kGraph, many("\x0a\0"s))},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(test.name);
    WriteBytes(test.bytes);
    const std::int64_t before = PeakKilobytes();
    const auto start = std::chrono::steady_clock::now();
    ExpectError(test.bytes.starts_with(group) ? ErrorCode::kInvalidFile : ErrorCode::kResource,
                {test.says, file_.string()}, [this] { ReadOnnx(file_); });
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
    EXPECT_LT(PeakKilobytes() - before, 256 * 1024) << "the mapped file is 20 to 100 MB of it";
  }
}

TEST_F(HostileGraphTest, DeepBranchesAreRefused) {
  for (const int depth : {30, 40, 200}) {
    SCOPED_TRACE(depth);
    graph()->clear_node();
    graph()->clear_initializer();
    AddTrue("yes");
    ::onnx::GraphProto* inner = graph();
    for (int i = 0; i < depth; ++i) {
      const std::string output = i == 0 ? "y" : "y" + std::to_string(i);
      inner = AddBranch(AddNode(inner, "If", {"yes"}, output), "then_branch");
      AddValueInfo(inner->mutable_output(), "y" + std::to_string(i + 1));
    }
    AddNode(inner, "Abs", {"x"}, "y" + std::to_string(depth));
    if (depth == 30) {
      EXPECT_THAT(PrintGraph(Read().graph), HasSubstr("Abs(x)"));
    } else {
      ExpectRefused(ErrorCode::kInvalidFile, {"more than 100 deep", file_.string()});
    }
  }
}

TEST_F(HostileGraphTest, BranchesAreChecked) {
  AddTrue("yes");
  ::onnx::GraphProto* branch = AddBranch(AddNode(graph(), "If", {"yes"}, "y"), "then_branch");
  AddNode(branch, "Abs", {"nowhere"}, "inner");
  AddValueInfo(branch->mutable_output(), "inner");
  ExpectRefused(ErrorCode::kInvalidFile, {"node 'y_node' (If)", "node 'inner_node' (Abs)", "'nowhere' is used"});
  branch->mutable_node(0)->set_input(0, "y");  // what the If itself computes
  ExpectRefused(ErrorCode::kInvalidFile, {"node 'y_node' (If)", "a cycle"});
  branch->mutable_node(0)->set_input(0, "inner");
  ExpectRefused(ErrorCode::kInvalidFile, {"node 'inner_node' (Abs)", "a cycle"});
  branch->mutable_node(0)->set_input(0, "x");
  graph()->mutable_node(0)->set_input(0, "x");
  ExpectRefused(ErrorCode::kUnsupported, {"node 'y_node' (If)", "known only when the model runs"});
}

TEST_F(HostileGraphTest, CyclesNameANodeOnThem) {
  AddNode(graph(), "Abs", {"c"}, "y");  // behind the cycle, not on it
  AddNode(graph(), "Add", {"x", "c"}, "a");
  AddNode(graph(), "Abs", {"a"}, "b");
  AddNode(graph(), "Abs", {"b"}, "c");
  ExpectRefused(ErrorCode::kInvalidFile, {"node 'c_node' (Abs)", "a cycle"});
}

TEST_F(HostileGraphTest, FunctionsThatCallEachOtherAreRefused) {
  AddNode(graph(), "even", {"x"}, "y")->set_domain("mine");
  AddCall(AddFunction(&model_, "even"), "odd", "y");
  ::onnx::FunctionProto* odd = AddFunction(&model_, "odd");
  AddCall(odd, "even", "y");
  ExpectRefused(ErrorCode::kUnsupported,
                {"node 'y_node' (mine.even)", "node 'call_odd' (mine.odd)", "node 'call_even' (mine.even)", "32 deep"});
  odd->mutable_node(0)->set_op_type("odd");
  ExpectRefused(ErrorCode::kUnsupported, {"node 'call_odd' (mine.odd)", "32 deep"});
}

// What calls functions alone needs no operators of ONNX's.
TEST_F(HostileGraphTest, FunctionsOfOneDomainNeedNoOpset) {
  AddNode(graph(), "outer", {"x"}, "y")->set_domain("mine");
  ::onnx::FunctionProto* outer = AddFunction(&model_, "outer");
  AddCall(outer, "inner", "y");
  outer->clear_opset_import();
  outer->add_opset_import()->set_domain("mine");
  ::onnx::NodeProto* node = AddFunction(&model_, "inner")->add_node();
  node->set_op_type("Abs");
  node->add_input("x");
  node->add_output("y");
  EXPECT_THAT(PrintGraph(Read().graph), HasSubstr("Abs(x)"));
}

TEST_F(HostileGraphTest, FunctionsThatGrowAreRefused) {
  constexpr int kNumFunctions = 20;
  AddNode(graph(), "f0", {"x"}, "y")->set_domain("mine");
  for (int i = 0; i < kNumFunctions; ++i) {
    ::onnx::FunctionProto* function = AddFunction(&model_, "f" + std::to_string(i));
    for (int j = 0; j < 10; ++j) {
      AddCall(function, "f" + std::to_string(i + 1), j == 0 ? "y" : "y" + std::to_string(j));
    }
  }
  ::onnx::NodeProto* last = AddFunction(&model_, "f" + std::to_string(kNumFunctions))->add_node();
  last->set_op_type("Abs");
  last->add_input("x");
  last->add_output("y");
  ExpectRefused(ErrorCode::kResource, {"node 'y_node' (mine.f0)", "node 'call_f19' (mine.f19)", "1000000 nodes"});
}

TEST_F(HostileGraphTest, NodesOfManyAttributesAreRefused) {
  ::onnx::NodeProto* node = AddNode(graph(), "Abs", {"x"}, "y");
  for (int i = 0; i < 300'000; ++i) {
    ::onnx::AttributeProto* attribute = node->add_attribute();
    attribute->set_name(std::to_string(i));
    attribute->set_type(::onnx::AttributeProto::INT);
  }
  ExpectRefused(ErrorCode::kResource, {"node 'y_node' (Abs)", "at most 256 attributes, got 300000"});
  ::onnx::FunctionProto* function = AddFunction(&model_, "f");
  function->mutable_attribute_proto()->Swap(node->mutable_attribute());
  node->set_domain("mine");
  node->set_op_type("f");
  ExpectRefused(ErrorCode::kResource, {"node 'y_node' (mine.f)", "at most 256 attributes, got 300000"});
}

TEST_F(HostileGraphTest, NodesInAnyOrderAreSorted) {
  AddNode(graph(), "Abs", {"b"}, "y");
  AddNode(graph(), "Neg", {"a"}, "b");
  AddNode(graph(), "Sqrt", {"x"}, "a");
  EXPECT_EQ(PrintGraph(Read().graph),
            "input x: f32[...]\n"
            "a = Sqrt(x): f32[...]\n"
            "b = Neg(a): f32[...]\n"
            "y = Abs(b): f32[...]\n"
            "output y\n");
}

TEST_F(HostileGraphTest, TypesThatDoNotFitAreRefused) {
  ::onnx::TensorProto* tensor = graph()->add_initializer();
  tensor->set_name("weight");
  AddNode(graph(), "Add", {"x", "weight"}, "y");
  for (const auto& [type, says] :
       {std::pair{::onnx::TensorProto::DOUBLE, "expected f32, got f64"}, {::onnx::TensorProto::INT64, "got s64"}}) {
    tensor->set_data_type(type);
    tensor->set_raw_data(std::string(8, '\0'));
    ExpectRefused(ErrorCode::kInvalidFile, {says, "node 'y_node' (Add)"});
  }
  for (const auto& [type, says] : {std::pair{::onnx::TensorProto::STRING, "element type 8"},
                                   {::onnx::TensorProto::COMPLEX64, "element type 14"},
                                   {::onnx::TensorProto::UNDEFINED, "element type 0"}}) {
    tensor->set_data_type(type);
    ExpectRefused(ErrorCode::kUnsupported, {says, "tensor 'weight'"});
  }
  tensor->set_data_type(::onnx::TensorProto::FLOAT);
  for (const auto& [size, says] :
       {std::pair{std::int64_t{-2}, "negative"}, {std::int64_t{1} << 62, "too many elements"}, {1000, "got 8 bytes"}}) {
    tensor->clear_dims();
    tensor->add_dims(size);
    ExpectRefused(ErrorCode::kInvalidFile, {says, "tensor 'weight'"});
  }
}

TEST_F(HostileGraphTest, CastLikeNeedsItsSecondInput) {
  AddNode(graph(), "CastLike", {"x"}, "y");
  ExpectRefused(ErrorCode::kInvalidFile, {"input 1 is missing", "node 'y_node' (CastLike)"});
}

TEST_F(HostileGraphTest, InputsOfAnyNumberAreAllThere) {
  for (const char* op : {"Concat", "Max", "Mean", "Min", "Sum"}) {
    graph()->clear_node();
    ::onnx::NodeProto* node = AddNode(graph(), op, {"x", "", "x"}, "y");
    if (node->op_type() == "Concat") {
      node->add_attribute()->set_name("axis");
      node->mutable_attribute(0)->set_type(::onnx::AttributeProto::INT);
    }
    ExpectRefused(ErrorCode::kInvalidFile, {"input 1 of " + std::string(op) + " is missing"});
  }
}

TEST_F(HostileGraphTest, AttributesHaveTheirTypes) {
  ::onnx::AttributeProto* to = AddNode(graph(), "Cast", {"x"}, "y")->add_attribute();
  to->set_name("to");
  to->set_type(::onnx::AttributeProto::FLOAT);
  ExpectRefused(ErrorCode::kInvalidFile, {"attribute 'to': expected an integer, got a float"});
}

// Sizes are numbers of a file's own choosing: no sum or product of them may pass 2^63.
TEST_F(HostileGraphTest, SizesThatNoIntegerHoldsAreRefused) {
  ::onnx::TensorShapeProto* shape = graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
  shape->add_dim()->set_dim_value(std::int64_t{1} << 62);
  AddNode(graph(), "Concat", {"x", "x"}, "y")->add_attribute()->set_name("axis");
  graph()->mutable_node(0)->mutable_attribute(0)->set_type(::onnx::AttributeProto::INT);
  ExpectRefused(ErrorCode::kInvalidFile, {"too many elements along axis 0", "node 'y_node' (Concat)"});
}

// The rank of `x` is not known: the permutation has to be one by itself.
TEST_F(HostileGraphTest, PermutationsOfUnknownTensorsAreChecked) {
  for (const std::int64_t axis : {7, -1, 0}) {
    graph()->clear_node();
    ::onnx::AttributeProto* perm = AddNode(graph(), "Transpose", {"x"}, "y")->add_attribute();
    perm->set_name("perm");
    perm->set_type(::onnx::AttributeProto::INTS);
    perm->add_ints(axis);
    perm->add_ints(0);
    ExpectRefused(ErrorCode::kInvalidFile, {"'perm' is no permutation of 2 axes", "node 'y_node' (Transpose)"});
  }
}

TEST_F(HostileGraphTest, WeightsThatAreNotFiniteAreRead) {
  const std::vector<float> values = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()};
  ::onnx::TensorProto* tensor = graph()->add_initializer();
  tensor->set_name("weight");
  tensor->set_data_type(::onnx::TensorProto::FLOAT);
  tensor->add_dims(2);
  for (const float value : values) {
    tensor->add_float_data(value);
  }
  AddNode(graph(), "Add", {"x", "weight"}, "y");
  const OnnxModel model = Read();
  const Tensor* weight = model.graph.FindInitializer(*model.graph.FindValue("weight"));
  ASSERT_NE(weight, nullptr);
  EXPECT_TRUE(std::isnan(weight->values<float>()[0]));
  EXPECT_EQ(weight->values<float>()[1], values[1]);
}

// Half precision, as raw bytes and as numbers in 32-bit fields. It is computed with as float.
TEST_F(HostileGraphTest, HalfPrecisionWeightsAreRead) {
  for (const auto& [type, dtype, one] :
       {std::tuple{::onnx::TensorProto::FLOAT16, "f16", 0x3c00}, {::onnx::TensorProto::BFLOAT16, "bf16", 0x3f80}}) {
    for (const bool raw : {false, true}) {
      SCOPED_TRACE(std::string(dtype) + (raw ? ", raw" : ", numbers"));
      graph()->clear_node();
      graph()->clear_initializer();
      ::onnx::TensorProto* tensor = graph()->add_initializer();
      tensor->set_name("weight");
      tensor->set_data_type(type);
      if (raw) {
        tensor->set_raw_data({static_cast<char>(one & 0xff), static_cast<char>(one >> 8)});
      } else {
        tensor->add_int32_data(one);
      }
      AddNode(graph(), "Add", {"x", "weight"}, "y");
      const Graph read = Read().graph;
      const Tensor* weight = read.FindInitializer(*read.FindValue("weight"));
      ASSERT_NE(weight, nullptr);
      EXPECT_EQ(ToString(weight->dtype()), dtype);
      std::uint16_t bits = 0;
      std::memcpy(&bits, weight->data(), sizeof bits);
      EXPECT_EQ(bits, one);
      EXPECT_THAT(PrintGraph(read), HasSubstr("y = Add(x, weight/f32): f32[...]"));
    }
  }
}

}  // namespace
}  // namespace laconic::onnx_file
