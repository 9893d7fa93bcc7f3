// The form in which a graph stores a weight or a table, read without computing the f32 values that it stands for.
#pragma once

#include <optional>

#include "graph/graph.h"
#include "runtime/packed_linear.h"
#include "runtime/steps.h"

namespace laconic::runtime {

// The weight and bias of a laconic.Linear: a constant, what Cast widens, or codes of 8 bits with scales and zero points
// per column or for all. Errors: kUnsupported for anything else.
LinearPart StoredLinear(const Graph& graph, const Node& linear);

// The table that `value` is: a constant, what Cast widens, or codes of 8 bits with scales per row, per block of columns
// or for all. Of the result, data (contiguous), scale, block, type and name are set.
// Errors: kUnsupported for anything else.
Table StoredTable(const Graph& graph, ValueId value);

}  // namespace laconic::runtime
