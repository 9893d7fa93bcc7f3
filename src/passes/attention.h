// Which kinds of attention kernels run.
#pragma once

#include "graph/graph.h"

namespace laconic::passes {

// Whether each query sees the same keys, whatever its place: `node` is Attention or laconic.Int8Attention without a
// past or a window, and its mask, if there is one, is a laconic.KeyMask.
bool HasFreeQueries(const Graph& graph, const Node& node);

// Whether `node` is an Attention of which that holds, by the scores alone (no soft cap), of [batch, length, heads *
// width] with as many heads of keys as of queries and all alike wide, and nothing but its answer is read: what
// laconic.Int8Attention can stand for.
bool IsFullAttention(const Graph& graph, const Node& node);

// What an Attention multiplies scores by: its `scale`, or 1 / sqrt(width of a head) where that is 0.
// Precondition: IsFullAttention.
float AttentionScale(const Graph& graph, const Node& node);

}  // namespace laconic::passes
