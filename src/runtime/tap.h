// Reading a graph's values while it runs, a few rows at a time, for calibration and comparison: no value is ever held
// whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "laconic/session.h"
#include "runtime/plan.h"

namespace laconic::runtime {

// Some rows of one tapped value. Texts lie one after another without padding: every row belongs to a token or a text.
struct TapRows {
  std::size_t value = 0;       // index into the names that were asked for
  Rows rows = Rows::kTokens;   // what a row belongs to
  std::int64_t first_row = 0;  // of the batch's tokens or texts
  std::int64_t num_rows = 0;
  std::int64_t width = 0;
  const float* data = nullptr;  // [num_rows, width]
  std::int64_t stride = 0;      // elements from a row to the next, >= width
};

// Whose row is whose: text i of the batch is the token rows starts[i] … starts[i + 1] - 1, and text row i.
struct TapBatch {
  std::span<const std::int64_t> starts;  // [texts + 1]
};

// Takes the rows of tapped values as a Session runs. Each value's rows come exactly once a batch, in pieces of any
// size and order, from several threads at a time: what depends on order must be gathered until EndBatch.
class TapSink {
 public:
  virtual ~TapSink() = default;
  virtual void BeginBatch(const TapBatch& /*batch*/) {}     // before any rows, on the caller's thread
  virtual void TakeRows(const TapRows& rows) noexcept = 0;  // several threads; `rows.data` lives for the call only
  virtual void EndBatch() {}                                // after all rows, on the caller's thread; may throw
};

// A model whose sessions hand the values called `values` to `sink`, which must outlive them and serves one Session at a
// time. A tapped value is computed as a value of its own: what would be fused over it (an activation, a residual sum)
// runs apart. A graph that no plan fits runs op by op, taps included. Errors: as CompiledModel::Compile;
// kInvalidArgument for a name that the graph lacks, or a value that is not rows of f32 (a constant, integers, 8-bit
// codes, a mask), naming it. Where a graph runs op by op, a Session that meets rows of another shape than the value's
// type says fails with kUnsupported.
std::shared_ptr<const CompiledModel> CompileTapped(const Graph& graph, std::span<const std::string> values,
                                                   TapSink* sink, const CompileOptions& options = {});

// The names of the values that CompileTapped takes, in the graph's order.
std::vector<std::string> TappableValues(const Graph& graph);

}  // namespace laconic::runtime
