// A plan in the making: who reads what, where values lie, and which have been put off until a step reads them.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "graph/readers.h"
#include "kernels/isa.h"
#include "quant/static.h"
#include "runtime/pack_store.h"
#include "runtime/plan.h"
#include "runtime/steps.h"

namespace laconic::runtime {

// Rows times a factor a column.
struct ScaledRows {
  ValueId x = kNoValue;
  Tensor multiplier;  // f32 [width]
};

// Gather along axis 1, the tokens.
bool IsTokenGather(const Node& node);

// Rows between two bounds.
struct ClippedRows {
  ValueId x = kNoValue;
  float lo = 0;
  float hi = 0;
};

struct PlanOptions {
  kernels::Isa isa = kernels::Isa::kScalar;
  kernels::Precision precision = kernels::Precision::kF32;  // of attention and of layers that are not INT8
  bool saturating = false;                                  // CompileOptions
};

class PlanBuilder {
 public:
  // `tapped`: values that are computed as values of their own. `packs`: takes and gives packed weights.
  PlanBuilder(const Graph& graph, const PlanOptions& options, std::set<ValueId> tapped, PackStore* packs);

  const Graph& graph() const noexcept { return graph_; }
  const PlanOptions& options() const noexcept { return options_; }
  kernels::Isa isa() const noexcept { return options_.isa; }
  PackStore* packs() noexcept { return packs_; }
  // Weights that a linear layer holds.
  void CountLinear(std::int64_t bytes) {
    plan_.memory_bytes += bytes;
    plan_.linear_bytes += bytes;
  }
  Plan& plan() noexcept { return plan_; }

  // --- who reads what ---
  const std::vector<const Node*>& ReadersOf(ValueId value) const { return readers_[value]; }
  // The one node that reads `value`, if nothing else does; null otherwise.
  const Node* SoleReader(ValueId value) const;
  // … if `value` may also be computed inside that node's step.
  const Node* SoleConsumer(ValueId value) const { return tapped_.contains(value) ? nullptr : SoleReader(value); }

  // Nodes that are computed in another's step.
  void MarkDone(const Node* node) { done_.insert(node); }
  bool IsDone(const Node* node) const { return done_.contains(node); }

  // --- where values lie ---
  // A value [B, S, H] has a row a token, unless it was made of first tokens, [B, 1, H]; [B, H] has a row a text.
  // Errors: kUnsupported for what has no rows of f32.
  Rows RowsOf(ValueId value) const;
  std::int64_t WidthOf(ValueId value) const { return graph_.value(value).type.shape.back().size; }
  Matrix NewMatrix(Rows rows, std::int64_t width);
  Matrix NewPlace(ValueId value) { return places_[value] = NewMatrix(RowsOf(value), WidthOf(value)); }
  void SetPlace(ValueId value, const Matrix& place) { places_[value] = place; }
  bool HasPlace(ValueId value) const { return places_.contains(value); }
  // `value` as f32 in memory; emits the steps for what was put off. Errors: kUnsupported if nothing computes it.
  Matrix Place(ValueId value);
  QuantizedMatrix NewQuantized(ValueId value, Rows rows, std::int64_t width);
  // A place for `value` as bfloat16.
  BFloat16Matrix NewRounded(ValueId value);
  // `value` as bfloat16 in memory; emits the step that rounds it, once. Errors: as Place.
  BFloat16Matrix Rounded(ValueId value);

  template <typename T, typename... Args>
  void Emit(Args&&... args) {
    plan_.steps.push_back(std::make_unique<const T>(std::forward<Args>(args)...));
  }

  // An f32 constant, which the plan will hold.
  Tensor Constant(ValueId value);

  // --- what was put off ---
  std::unordered_map<ValueId, std::vector<Table>> embeddings;     // sums of table rows, not yet looked up
  std::unordered_map<ValueId, std::pair<ValueId, ValueId>> sums;  // sums that are not yet added
  std::unordered_map<ValueId, ScaledRows> scaled;                 // rows that are not yet multiplied
  std::unordered_map<ValueId, ClippedRows> clipped;               // rows that are not yet clipped
  std::unordered_map<ValueId, QuantizedMatrix> quantized;         // codes, and the f32 values that they stand for
  std::unordered_map<ValueId, quant::QuantParams> params;         // of QuantizeLinear's codes

 private:
  BufferId NewBuffer(Rows rows, std::int64_t row_bytes);
  void EmitPutOff(ValueId value);
  void NoteFirstTokens(const Node& node);

  const Graph& graph_;
  PlanOptions options_;
  std::set<ValueId> tapped_;
  PackStore* packs_;
  Plan plan_;
  Readers readers_;
  std::unordered_map<ValueId, Matrix> places_;
  std::unordered_map<ValueId, BFloat16Matrix> rounded_;
  std::set<const Node*> done_;
  std::set<ValueId> first_tokens_;  // [B, 1, H], and what is computed from them
};

}  // namespace laconic::runtime
