// INT8: weights in 8 bits; activations quantized as the model runs, or with ranges that calibration found before.
#pragma once

#include <map>
#include <set>
#include <string>

#include "base/progress.h"
#include "graph/graph.h"
#include "laconic/qconfig.h"
#include "passes/quantize/int8_weights.h"
#include "quant/static.h"

namespace laconic::passes {

struct Int8Options {
  // By layer: weights; of dynamic activations the granularity; and the embeddings' blocks. Layers that share an input
  // or a weight agree on it.
  QConfig qconfig = PresetQConfig("laconic", {.is_static = false, .has_texts = false});
  bool is_static = false;
  // Static: of each value that a layer of linear kind reads, by the value's name in the float graph; of the smoothed
  // value where `rounding` smooths it.
  std::map<std::string, quant::QuantParams> ranges;
  // What calibration decided of this graph's linear layers; null: weights to nearest.
  const CalibratedRounding* rounding = nullptr;
};

// Each linear layer of `layers` reads its input, times the inverse smoothing if there is one, through
//   dynamic:  laconic.DynamicQuantize
//   static:   QuantizeLinear, DequantizeLinear; before them, where not all codes are to be used, Clip: its bounds are
//             those of the codes, so that it clamps the codes themselves
// and its weight in 8 bits (Int8Weights), as each embedding of `layers` does. What several layers share, input or
// weight, is quantized once; a linear layer's output stays float.
//
// Where the QConfig has int8_attention, each Attention that IsFullAttention (attention.h) becomes
// laconic.Int8Attention; it finds all its codes as the model runs, so it needs no range.
//
// A statically quantized value X goes with `X_scale`, `X_zero_point`, `X_QuantizeLinear_Output` and
// `X_DequantizeLinear_Output`, so that ONNX Runtime's tools find the pair to compare. A smoothed one is called
// `X_smoothed` and ends in `X_smoothed_dequantized`, since the float model has no such value to compare with.
// Errors: kInvalidArgument for a weight with a NaN or an infinity, or a value without a range, naming the layer.
Graph QuantizeInt8(const Graph& graph, const std::set<std::string>& layers, const Int8Options& options = {},
                   const ProgressFn& progress = {});

}  // namespace laconic::passes
