// Rounding a model's linear layers with calibration texts: SmoothQuant, GPTQ, bias correction, weight ranges.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "graph/graph.h"
#include "laconic/progress.h"
#include "laconic/tokenizer.h"
#include "passes/quantize/int8_weights.h"
#include "passes/quantize/rounding.h"
#include "quant/static.h"

namespace laconic {

struct RoundingOptions {
  bool dynamic = true;  // activations per row; else static, one range a layer input (MinMax)
  bool smooth = true;
  std::optional<float> alpha;  // none: chosen for each input
  bool gptq = true;
  bool bias_correction = true;
  bool mse_range = false;               // of weights: MseScale, else AbsMaxScale
  passes::WeightConfig weights;         // its dtype is the passes' affair
  DType activation_dtype = DType::kU8;  // of static activations
  int threads = 1;
  // For samples and Hessians; layers that do not fit wait for another run over the texts. One group of layers is always
  // taken, however large.
  std::int64_t memory_bytes = std::int64_t{256} << 20;
};

// Runs the float `graph` over `texts` and rounds the linear layers among `layers`. Static activations' parameters go to
// `ranges`, by the names of what the layers read.
//
// The result depends on the texts and their order, but on no number of threads and no memory limit.
// Errors: kInvalidArgument for no text, a weight or an activation that is not finite, naming it; kCancelled.
passes::CalibratedRounding RoundLinears(const Graph& graph, const std::set<std::string>& layers,
                                        std::span<const Encoding> texts, const RoundingOptions& options,
                                        const ProgressFn& progress, std::map<std::string, quant::QuantParams>* ranges);

}  // namespace laconic
