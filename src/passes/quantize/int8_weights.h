// The 8-bit weights of a graph that a pass rewrites: each quantized once, however many layers share it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "graph/graph.h"
#include "passes/layer_selection.h"
#include "passes/quantize/rounding.h"
#include "quant/weight_range.h"

namespace laconic::passes {

// How a linear layer's weight is stored and, where calibration did not decide it, rounded: to nearest, the range from
// the largest.
struct WeightConfig {
  DType dtype = DType::kS8;          // or kU8: the same codes plus 128, with zero point 128
  bool per_channel = true;           // a scale an output channel, else one for all
  int max_code = quant::kFullRange;  // codes (of s8) lie in [-max_code, max_code]
  std::set<std::string> reduced;     // layers whose codes lie in [-kReducedRange, kReducedRange]

  int MaxCodeOf(const std::string& layer) const {
    return reduced.contains(layer) ? std::min(max_code, quant::kReducedRange) : max_code;
  }
};

struct Int8Options {
  WeightConfig weights;
  // Embeddings: columns that share a scale; 0: a row has one. Tables whose width is no multiple of it keep one a row.
  std::int64_t embedding_block = 0;
  // What calibration decided of this graph's linear layers; null: weights to nearest, per channel.
  const CalibratedRounding* rounding = nullptr;
};

class Int8Weights {
 public:
  // All must outlive this.
  Int8Weights(const Graph& from, const Int8Options& options, Graph* to) : from_(from), options_(options), to_(*to) {}

  // The layer's weight as DequantizeLinear(codes, scale[, zero point]), under the weight's own name; its constants are
  // called `W_quantized`, `W_scale` and `W_zero_point`, as ONNX Runtime's tools expect.
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
