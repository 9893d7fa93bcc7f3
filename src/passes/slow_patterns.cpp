#include "passes/slow_patterns.h"

#include "graph/ops.h"
#include "passes/quantized_layers.h"

namespace laconic::passes {
namespace {

struct Rule {
  const char* name;
  const char* reason;  // figures: ONNX Runtime 1.30 and 1.32, 768 x 3072, 128 rows, one thread of an x86 with VNNI
  bool (*breaks)(const Graph& graph, const Node& node);
};

DType TypeOf(const Graph& graph, ValueId value) { return graph.value(value).type.dtype; }

bool IsStored(const Graph& graph, const Node& node) { return graph.FindInitializer(node.inputs[0]) != nullptr; }

// The operands' types of what ONNX calls an integer product.
bool IsIntegerProduct(const Graph& graph, const Node& node, DType a, DType b) {
  return node.op == "MatMulInteger" && TypeOf(graph, node.inputs[0]) == a && TypeOf(graph, node.inputs[1]) == b;
}

const Rule kRules[] = {
    {"u8-weights",
     "ONNX Runtime multiplies u8 by u8 at less than half the speed of u8 by s8 (3.7 against 1.6 ms); it never "
     "saturates",
     [](const Graph& graph, const Node& node) {
       return IsIntegerProduct(graph, node, DType::kU8, DType::kU8) ||
              (node.op == "DequantizeLinear" && IsStored(graph, node) && TypeOf(graph, node.inputs[0]) == DType::kU8);
     }},
    {"s8-dynamic", "ONNX Runtime has no fast MatMulInteger of s8 by s8 on x86 (21 against 2 ms with u8 activations)",
     [](const Graph& graph, const Node& node) { return IsIntegerProduct(graph, node, DType::kS8, DType::kS8); }},
    {"per-token",
     "in an exported file the quantizer is a dozen plain operators, each a pass over the activations: 6 to 20 % more "
     "time than one scale a tensor, in exchange for answers that do not depend on the batch",
     [](const Graph&, const Node& node) {
       return node.op == "laconic.DynamicQuantize" && StringAttribute(node, kGranularity) == kPerToken;
     }},
    {"int8-attention",
     "in an exported file four dozen plain operators: in ONNX Runtime the whole model takes 20 to 50 % more time "
     "than with attention in f32, the more the longer the texts are",
     [](const Graph&, const Node& node) { return node.op == "laconic.Int8Attention"; }},
    {"half-weights", "computed with in f32: half the file, no faster than f32 on a CPU",
     [](const Graph& graph, const Node& node) {
       return node.op == "Cast" && IsStored(graph, node) && IsHalf(TypeOf(graph, node.inputs[0]));
     }},
};

}  // namespace

std::vector<SlowNodes> FindSlowNodes(const Graph& graph) {
  std::vector<SlowNodes> found;
  for (const Rule& rule : kRules) {
    SlowNodes nodes = {rule.name, "", 0, rule.reason};
    for (const Node& node : graph.nodes()) {
      if (rule.breaks(graph, node)) {
        nodes.first = nodes.count++ == 0 ? graph.name(node) : nodes.first;
      }
    }
    if (nodes.count > 0) {
      found.push_back(std::move(nodes));
    }
  }
  return found;
}

}  // namespace laconic::passes
