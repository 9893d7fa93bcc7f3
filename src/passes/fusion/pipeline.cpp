#include "passes/fusion/pipeline.h"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include "graph/ops.h"
#include "graph/readers.h"
#include "laconic/error.h"
#include "passes/fusion/passes.h"

namespace laconic::passes {
namespace {

using namespace fusion;  // NOLINT(google-build-using-namespace): the passes, by their names

struct Pass {
  std::string_view name;
  bool (*run)(Draft* draft);
};

// Changes how integers are rounded to codes, by a last bit of the scale: worth it where kernels can run what comes out.
constexpr std::string_view kRequantizing = "quantized matrix products";

// Top to bottom, again and again until nothing changes.
constexpr std::array kPasses = {
    Pass{"simplify", Simplify},
    Pass{"fold constants", FoldConstants},
    Pass{"share equal nodes", ShareEqual},
    Pass{"quantized", FuseQuantized},
    Pass{kRequantizing, FuseQLinearMatMul},
    Pass{"linear", FuseLinear},
    Pass{"split linear", SplitLinear},
    Pass{"layer normalization", FuseLayerNormalization},
    Pass{"gelu", FuseGelu},
    Pass{"sink reshape", SinkReshape},
    Pass{"embeddings", FuseEmbeddings},
    Pass{"attention", FuseAttention},
    Pass{"pooling", FusePooling},
};

// Each round sees shapes that the last one made known. Exporters' graphs need three or four; a Reshape sinks by one
// layer's row-wise nodes a round.
constexpr int kMaxRounds = 64;

bool IsCanonicalOp(std::string_view op) {
  const std::vector<OpSchema>& general = GeneralOnnxOps();
  // Static quantization and SmoothQuant are said with ONNX's own.
  return op == "QuantizeLinear" || op == "Mul" || std::ranges::find(general, op, &OpSchema::op) == general.end();
}

// Why a node is still general, as far as the nodes about it tell.
class Reasons {
 public:
  Reasons(const Graph& graph, const std::map<std::string, std::string>& notes)
      : graph_(graph), notes_(notes), readers_(graph) {}

  std::string Of(const Node& node) const {
    const auto note = notes_.find(graph_.name(node));
    if (note != notes_.end()) return note->second;
    if (IsRounded(node)) return "its inputs or its output are rounded to codes here, which no fused step would do";
    for (const ValueId output : node.outputs) {
      for (const Node* reader : readers_[output]) {
        if (!IsCanonicalOp(reader->op)) return fmt::format("{} reads it, which is general itself", reader->op);
      }
    }
    return "no pattern of a classifier has it at this place";
  }

 private:
  bool IsRounded(const Node& node) const {
    const auto is_dequantized = [&](ValueId input) {
      const Node* producer = input == kNoValue ? nullptr : graph_.FindProducer(input);
      return producer != nullptr && producer->op == "DequantizeLinear" &&
             graph_.FindInitializer(producer->inputs[0]) == nullptr;
    };
    const auto is_quantized = [&](ValueId output) {
      return std::ranges::any_of(readers_[output], [](const Node* reader) { return reader->op == "QuantizeLinear"; });
    };
    return std::ranges::any_of(node.inputs, is_dequantized) || std::ranges::any_of(node.outputs, is_quantized);
  }

  const Graph& graph_;
  const std::map<std::string, std::string>& notes_;
  const Readers readers_;
};

std::vector<std::string> DescribeGeneral(const Graph& graph, const std::map<std::string, std::string>& notes) {
  struct Kind {
    std::string first;
    int count = 0;
  };
  const Reasons reasons(graph, notes);
  std::map<std::pair<std::string, std::string>, Kind> kinds;  // by op and reason
  for (const Node& node : graph.nodes()) {
    if (IsCanonicalOp(node.op) && !notes.contains(graph.name(node))) continue;
    Kind& kind = kinds[{node.op, reasons.Of(node)}];
    if (kind.count++ == 0) kind.first = graph.name(node);
  }
  std::vector<std::string> lines;
  lines.reserve(kinds.size());
  for (const auto& [key, kind] : kinds) {
    lines.push_back(
        fmt::format("{} {}: '{}'{}: {}", kind.count, key.first, kind.first, kind.count > 1 ? ", …" : "", key.second));
  }
  return lines;
}

FusionResult RunPasses(const Graph& graph, bool may_requantize) {
  FusionResult result{graph, {}};
  std::map<std::string, std::string> reasons;
  for (int round = 0; round < kMaxRounds; ++round) {
    Draft draft(result.graph);
    bool changed = false;
    for (const Pass& pass : kPasses) {
      if (pass.name == kRequantizing && !may_requantize) continue;
      changed = pass.run(&draft) || changed;
    }
    result.graph = draft.Finish();
    reasons.clear();
    for (const auto& [value, why] : draft.notes()) {
      reasons[draft.name(value)] = why;
    }
    if (!changed) break;
  }
  result.general = DescribeGeneral(result.graph, reasons);
  return result;
}

}  // namespace

bool IsCanonical(const Graph& graph) {
  return std::ranges::all_of(graph.nodes(), [](const Node& node) { return IsCanonicalOp(node.op); });
}

FusionResult Fuse(const Graph& graph) {
  try {
    FusionResult result = RunPasses(graph, true);
    const bool has_products = std::ranges::find(graph.nodes(), "QLinearMatMul", &Node::op) != graph.nodes().end();
    return has_products && !IsCanonical(result.graph) ? RunPasses(graph, false) : result;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) throw;
    return {graph, {std::string("nothing was fused: ") + error.what()}};
  }
}

}  // namespace laconic::passes
