// Dynamic INT8: weights in s8, activations quantized to u8 while the model runs, token by token.
#pragma once

#include <set>
#include <string>

#include "base/progress.h"
#include "graph/graph.h"
#include "passes/quantize/int8_weights.h"

namespace laconic::passes {

// Each linear layer of `layers` reads its input through laconic.DynamicQuantize and its weight as s8 with a scale per
// output channel; each embedding of `layers` becomes s8 with a scale per row or block (docs/numerics.md). A weight or
// input that several layers share is quantized once.
// Errors: kInvalidArgument for a weight with a NaN or an infinity, naming it.
Graph QuantizeDynamicInt8(const Graph& graph, const std::set<std::string>& layers, const ProgressFn& progress,
                          const Int8Options& options = {});

}  // namespace laconic::passes
