// Writes small exported models for tools/onnx/check_examples.py: laconic_export_examples DIRECTORY
//
// For each example: NAME_OPSET.onnx at each opset, and NAME_OPSET_qoperator.onnx where that differs; NAME.graph, the
// graph's text; NAME.weights, the elements of its constants in the text's order.
#include <filesystem>
#include <iostream>
#include <set>

#include "base/file.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/test_graphs.h"
#include "graph/text_form.h"
#include "laconic/error.h"

namespace laconic {
namespace {

using onnx_file::TestGraphOptions;
using onnx_file::Weights;

void WriteReference(const Graph& graph, const std::filesystem::path& stem) {
  AtomicFile text(stem.string() + ".graph", true);
  text.Write(PrintGraph(graph));
  text.Commit();
  AtomicFile weights(stem.string() + ".weights", true);
  std::set<ValueId> written;
  for (const Node& node : graph.nodes()) {
    for (const ValueId input : node.inputs) {
      const Tensor* tensor = graph.FindInitializer(input);
      if (tensor != nullptr && written.insert(input).second) {
        const Tensor flat = tensor->Contiguous();
        weights.Write({flat.data(), static_cast<std::size_t>(flat.size_bytes())});
      }
    }
  }
  weights.Commit();
}

void WriteExamples(const std::filesystem::path& directory) {
  const std::vector<std::pair<std::string, TestGraphOptions>> examples = {
      {"float", {}},
      {"float_mean", {.is_mean_pooled = true, .head_activation = "Relu", .approximate = "tanh"}},
      {"half", {.weights = Weights::kHalf}},
      {"bfloat16", {.weights = Weights::kBFloat16, .num_layers = 1}},
      {"dynamic", {.weights = Weights::kDynamic}},
      {"dynamic_mean", {.weights = Weights::kDynamic, .is_mean_pooled = true, .approximate = "tanh"}},
      {"dynamic_attention", {.weights = Weights::kDynamic, .has_int8_attention = true}},
      {"dynamic_blocks", {.weights = Weights::kDynamic, .num_layers = 1, .embedding_block = 4}},
      {"weight_only", {.weights = Weights::kWeightOnly}},
      {"dynamic_u8", {.weights = Weights::kDynamic, .num_layers = 1, .codes_dtype = DType::kU8, .is_smoothed = true}},
      {"dynamic_weight", {.weights = Weights::kDynamic, .num_layers = 1, .per_channel = false}},
      {"tensor", {.weights = Weights::kDynamicTensor, .num_layers = 1}},
      {"tensor_u8",
       {.weights = Weights::kDynamicTensor, .num_layers = 1, .codes_dtype = DType::kU8, .per_channel = false}},
      {"static", {.weights = Weights::kStatic}},
      {"static_attention", {.weights = Weights::kStatic, .num_layers = 1, .has_int8_attention = true}},
      {"static_mean",
       {.weights = Weights::kStatic, .is_mean_pooled = true, .codes_dtype = DType::kU8, .is_smoothed = true}},
      {"static_s8", {.weights = Weights::kStatic, .num_layers = 1, .rows_dtype = DType::kS8, .per_channel = false}},
      {"static_s8_u8",
       {.weights = Weights::kStatic, .num_layers = 1, .rows_dtype = DType::kS8, .codes_dtype = DType::kU8}},
      {"roberta", {.has_token_types = false, .position_offset = 2, .has_type_row = true}},
      {"albert", {.shares_layers = true}},
      {"dynamic_albert", {.weights = Weights::kDynamic, .shares_layers = true}},
  };
  std::filesystem::create_directories(directory);
  for (const auto& [name, options] : examples) {
    const Graph graph = onnx_file::MakeTestGraph(options);
    WriteReference(graph, directory / name);
    for (int opset = kMinOnnxOpset; opset <= kMaxOnnxOpset; ++opset) {
      const bool external = opset == 21;
      const std::string stem = name + "_" + std::to_string(opset);
      WriteOnnx(graph, directory / (stem + ".onnx"), {.opset = opset, .external_data = external, .force = true});
      if (options.weights == Weights::kStatic) {
        WriteOnnx(graph, directory / (stem + "_qoperator.onnx"),
                  {.opset = opset, .quantization = OnnxQuantization::kQOperator, .force = true});
      }
    }
  }
}

}  // namespace
}  // namespace laconic

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: laconic_export_examples DIRECTORY\n";
    return 2;
  }
  try {
    laconic::WriteExamples(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
