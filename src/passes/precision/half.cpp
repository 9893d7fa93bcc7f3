#include "passes/precision/half.h"

#include <cmath>
#include <unordered_map>
#include <vector>

#include "base/cancel.h"
#include "laconic/error.h"
#include "passes/layer_selection.h"

namespace laconic::passes {
namespace {

Tensor ToHalf(const Tensor& weight, DType dtype) {
  // Row by row of the layout in memory: a transposed view stays one.
  const bool transposed = !weight.is_contiguous() && weight.Transposed().is_contiguous();
  const Tensor flat = transposed ? weight.Transposed() : weight.Contiguous();
  const std::span<const float> values = flat.values<float>();
  Tensor half = Tensor::Make(dtype, flat.shape(), [&](std::byte* data) {
    auto* out = reinterpret_cast<std::uint16_t*>(data);
    for (std::size_t i = 0; i < values.size(); ++i) {
      out[i] = dtype == DType::kF16 ? FloatToHalf(values[i]) : FloatToBFloat16(values[i]);
      const float back = dtype == DType::kF16 ? HalfToFloat(out[i]) : BFloat16ToFloat(out[i]);
      if (!std::isfinite(back)) {
        const auto cols = static_cast<std::size_t>(flat.shape()[1]);
        Fail(ErrorCode::kInvalidArgument, "element [", i / cols, ", ", i % cols, "] is ", values[i], ", which ",
             ToString(dtype), " cannot hold; exclude the layer",
             dtype == DType::kF16 && std::isfinite(values[i]) ? " or use bf16" : "");
      }
    }
  });
  return transposed ? half.Transposed() : half;
}

}  // namespace

Graph StoreWeightsHalf(const Graph& graph, const std::set<std::string>& layers, DType dtype,
                       const ProgressFn& progress) {
  Graph out;
  GraphCopier copy(graph, &out);
  std::set<ValueId> converted;
  std::int64_t done = 0;
  for (const Node& node : graph.nodes()) {
    ThrowIfCancelled();
    const auto layer = FindLayer(graph, node, layers);
    if (layer && converted.insert(layer->weight).second) {
      const Tensor& weight = *graph.FindInitializer(layer->weight);
      const std::string& name = graph.value(layer->weight).name;
      Tensor half = WithFrame([&] { return "tensor '" + name + "'"; }, [&] { return ToHalf(weight, dtype); });
      weight.ReleasePages();
      const ValueId stored = out.AddInitializer(name + "_" + std::string(ToString(dtype)), std::move(half));
      copy.Map(layer->weight, out.AddNode("Cast", name, {stored}, {{"to", std::string("f32")}}));
    }
    copy.CopyNode(node);
    Report(progress, "converting", ++done, static_cast<std::int64_t>(graph.nodes().size()));
  }
  copy.CopyOutputs();
  return out;
}

}  // namespace laconic::passes
