// Graph → Plan: which kernels run, what they fuse, where values lie. The only place that knows of both.
#pragma once

#include <span>
#include <string>

#include "graph/graph.h"
#include "kernels/isa.h"
#include "runtime/pack_store.h"
#include "runtime/plan.h"
#include "runtime/plan_builder.h"

namespace laconic::runtime {

// Packs the weights on the way, and releases the mapped pages of those it has packed. `packs`: gives the packed weights
// that it has, and takes the others. Errors: kUnsupported for a graph that has no such plan, naming the node; tap.h's
// for `taps`.
Plan MakePlan(const Graph& graph, const PlanOptions& options, std::span<const std::string> taps, TapSink* sink,
              PackStore* packs);

}  // namespace laconic::runtime
