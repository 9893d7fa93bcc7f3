// What calibration data decided about a graph's linear layers (src/workflows/calibrated_rounding.h); a pass writes it
// down.
#pragma once

#include <unordered_map>

#include "graph/graph.h"
#include "tensor/tensor.h"

namespace laconic::passes {

struct LinearRounding {
  Tensor codes;       // s8 [k, n], of the smoothed weight, less their zero point
  Tensor scale;       // f32 [n], or [] for all
  Tensor bias_shift;  // f32 [n], to be added to the bias of each layer that has the weight; no data: none
};

struct CalibratedRounding {
  std::unordered_map<ValueId, Tensor> inv_smooth;       // by what linear layers read: f32 [k]; absent: not smoothed
  std::unordered_map<ValueId, LinearRounding> linears;  // by weight
};

}  // namespace laconic::passes
