// Only the rows that are read: where a classifier looks at each text's first token, the last layer runs for it alone.
#pragma once

#include <set>

#include "graph/graph.h"

namespace laconic::passes {

// Moves Gather(x, 0) along the tokens of x [B, S, H] up through the nodes that compute each token from itself (linear
// layers, sums, LayerNormalization, activations, quantizers with a scale a token or one for all) and through the
// queries of Attention, as far as nothing else reads their results: they compute [B, 1, H] then, and keep their names.
// What other tokens need (keys, values, a graph output, the values in `kept` and all before them) stays [B, S, H].
// Nodes that still compute all tokens come before those that do not. The answers are the same bits, where a token's
// values do not depend on how many are computed along with it.
Graph KeepReadRows(const Graph& graph, const std::set<ValueId>& kept = {});

}  // namespace laconic::passes
