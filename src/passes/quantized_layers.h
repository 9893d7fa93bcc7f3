// The integers of a graph's quantized linear layers, for the planner and for whoever else looks at them: diff, certify.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "quant/activations.h"

namespace laconic::passes {

// Where rows of f32 become 8-bit codes.
struct InputQuantizer {
  ValueId rounded = kNoValue;  // the codes as real numbers; what reads it reads the same codes
  ValueId source = kNoValue;   // what is rounded: before SmoothQuant's factor, if there is one
  quant::ActivationQuantizer quantizer;
  bool per_text = false;  // dynamic, with one scale for all rows of a text (DynamicParams), not one a row
};

// laconic.Linear of rounded rows with a weight in 8 bits.
struct QuantizedLinear {
  std::string name;            // the weight's name without ".weight"
  const Node* node = nullptr;  // in the graph that was given
  InputQuantizer input;
  const Tensor* codes = nullptr;       // [K, N], s8 or u8
  const Tensor* zero_point = nullptr;  // null: 0
};

// The one scale and zero point of a QuantizeLinear or DequantizeLinear. Nothing where there are several or they are
// computed, or the codes are not 8 bits.
std::optional<quant::QuantParams> FindStaticParams(const Graph& graph, const Node& node);

// In the graph's order. Layers of which only one side is rounded are none of these.
std::vector<QuantizedLinear> FindQuantizedLinears(const Graph& graph);

}  // namespace laconic::passes
