// The 8-bit weights of a graph that a pass rewrites: each quantized once, however many layers share it.
#pragma once

#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "graph/graph.h"
#include "laconic/qconfig.h"
#include "passes/layer_selection.h"
#include "passes/quantize/rounding.h"

namespace laconic::passes {

// The scales of a weight's channels as its DequantizeLinear has them: [n], or [] where `config` has one for all.
// Precondition: that there is a channel.
Tensor ScaleTensor(std::span<const float> scales, const TensorQConfig& config);

class Int8Weights {
 public:
  // All must outlive this. `rounding`: what calibration decided of the linear layers; null: weights to nearest. Tables
  // whose width is no multiple of the QConfig's embedding_block keep one scale a row.
  Int8Weights(const Graph& from, const QConfig& qconfig, const CalibratedRounding* rounding, Graph* to)
      : from_(from), qconfig_(qconfig), rounding_(rounding), to_(*to) {}

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
  ValueId Linear(const Layer& layer, const std::string& name);
  ValueId Embedding(ValueId table, const std::string& name);

  const Graph& from_;
  const QConfig& qconfig_;
  const CalibratedRounding* rounding_;
  Graph& to_;
  std::unordered_map<ValueId, ValueId> weights_;           // of the old graph -> dequantized in the new
  std::unordered_map<ValueId, ValueId> smoothed_;          // inputs of the old graph -> smoothed in the new
  std::map<std::pair<ValueId, ValueId>, ValueId> biases_;  // weight and bias of the old graph -> shifted in the new
};

}  // namespace laconic::passes
