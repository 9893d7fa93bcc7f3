// FP16 and BF16: weights kept in half their width, computed with in f32.
#pragma once

#include <set>
#include <string>

#include "base/progress.h"
#include "graph/graph.h"

namespace laconic::passes {

// The weights of `layers` become `dtype` (kF16 or kBF16, rounded half to even) followed by Cast to f32.
// Errors: kInvalidArgument for a weight that is finite and overflows, or is not finite, naming tensor, place and value.
Graph StoreWeightsHalf(const Graph& graph, const std::set<std::string>& layers, DType dtype,
                       const ProgressFn& progress);

}  // namespace laconic::passes
