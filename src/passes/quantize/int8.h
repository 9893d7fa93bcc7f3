// INT8: weights in 8 bits; activations quantized as the model runs, or with ranges that calibration found before.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "base/progress.h"
#include "graph/graph.h"
#include "passes/quantize/int8_weights.h"
#include "quant/static.h"

namespace laconic::passes {

enum class Activations : std::uint8_t {
  kPerToken,   // dynamic, a scale a row
  kPerTensor,  // dynamic, a scale a text
  kStatic,     // a scale known before
};

struct ActivationConfig {
  Activations kind = Activations::kPerToken;
  // kStatic: of each value that a layer of linear kind reads, by the value's name in the float graph; of the smoothed
  // value where Int8Options smooth it.
  std::map<std::string, quant::QuantParams> ranges;
};

// Each linear layer of `layers` reads its input, times the inverse smoothing if there is one, through
//   kPerToken, kPerTensor:  laconic.DynamicQuantize
//   kStatic:                QuantizeLinear, DequantizeLinear
// and its weight in 8 bits (Int8Weights), as each embedding of `layers` does. What several layers share, input or
// weight, is quantized once; a linear layer's output stays float.
//
// A statically quantized value X goes with `X_scale`, `X_zero_point`, `X_QuantizeLinear_Output` and
// `X_DequantizeLinear_Output`, so that ONNX Runtime's tools find the pair to compare. A smoothed one is called
// `X_smoothed` and ends in `X_smoothed_dequantized`, since the float model has no such value to compare with.
// Errors: kInvalidArgument for a weight with a NaN or an infinity, or a value without a range, naming the layer.
Graph QuantizeInt8(const Graph& graph, const std::set<std::string>& layers, const ActivationConfig& activations = {},
                   const Int8Options& options = {}, const ProgressFn& progress = {});

}  // namespace laconic::passes
