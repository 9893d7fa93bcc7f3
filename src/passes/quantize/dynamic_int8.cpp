#include "passes/quantize/dynamic_int8.h"

#include "passes/quantize/int8.h"

namespace laconic::passes {

Graph QuantizeDynamicInt8(const Graph& graph, const std::set<std::string>& layers, const ProgressFn& progress,
                          const Int8Options& options) {
  return QuantizeInt8(graph, layers, {}, options, progress);
}

}  // namespace laconic::passes
