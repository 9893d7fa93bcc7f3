#include "passes/fusion/pipeline.h"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include "graph/ops.h"
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

std::vector<std::string> DescribeGeneral(const Graph& graph, const std::map<std::string, std::string>& reasons) {
  struct Kind {
    std::string first;
    int count = 0;
  };
  std::map<std::pair<std::string, std::string>, Kind> kinds;  // by op and reason
  for (const Node& node : graph.nodes()) {
    const auto reason = reasons.find(graph.name(node));
    if (IsCanonicalOp(node.op) && reason == reasons.end()) continue;
    Kind& kind = kinds[{node.op, reason == reasons.end() ? "" : reason->second}];
    if (kind.count++ == 0) kind.first = graph.name(node);
  }
  std::vector<std::string> lines;
  for (const auto& [key, kind] : kinds) {
    lines.push_back(fmt::format("{} {}: '{}'{}{}", kind.count, key.first, kind.first, kind.count > 1 ? ", …" : "",
                                key.second.empty() ? "" : ": " + key.second));
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
