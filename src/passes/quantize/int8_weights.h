// The s8 weights of a graph that a pass rewrites: each quantized once, however many layers share it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include "graph/graph.h"
#include "passes/layer_selection.h"
#include "passes/quantize/rounding.h"

namespace laconic::passes {

struct Int8Options {
  // Embeddings: columns that share a scale; 0: a row has one. Tables whose width is no multiple of it keep one a row.
  std::int64_t embedding_block = 0;
  // What calibration decided of this graph's linear layers; null: weights to nearest, per channel.
  const CalibratedRounding* rounding = nullptr;
};

class Int8Weights {
 public:
  // All must outlive this.
  Int8Weights(const Graph& from, const Int8Options& options, Graph* to) : from_(from), options_(options), to_(*to) {}

  // The layer's weight as DequantizeLinear(codes, scale), under the weight's own name.
  // Errors: kInvalidArgument for a weight with a NaN or an infinity, naming the row.
  ValueId operator()(const Layer& layer);

  // `x` of the new graph, which stands for `input` of the old, times the input's inv_smooth; `x` where it has none.
  ValueId Smoothed(ValueId input, ValueId x);

  // `bias` of the layer in the old graph (kNoValue: it has none) with the shift that calibration found, in the new one.
  // kNoValue where it stays as it is: no shift, or a bias that is not constant.
  ValueId ShiftedBias(const Layer& layer, ValueId bias);

 private:
  const LinearRounding* FindRounding(ValueId weight) const;
  ValueId Linear(ValueId weight, const std::string& name);
  ValueId Embedding(ValueId table, const std::string& name);

  const Graph& from_;
  const Int8Options& options_;
  Graph& to_;
  std::unordered_map<ValueId, ValueId> weights_;           // of the old graph -> dequantized in the new
  std::unordered_map<ValueId, ValueId> smoothed_;          // inputs of the old graph -> smoothed in the new
  std::map<std::pair<ValueId, ValueId>, ValueId> biases_;  // weight and bias of the old graph -> shifted in the new
};

}  // namespace laconic::passes
