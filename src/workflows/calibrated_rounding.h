// Rounding a model's linear layers with calibration texts: SmoothQuant, GPTQ, bias correction, weight ranges.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>

#include "graph/graph.h"
#include "laconic/calibrate.h"
#include "laconic/progress.h"
#include "laconic/qconfig.h"
#include "laconic/tokenizer.h"
#include "passes/quantize/rounding.h"
#include "quant/static.h"

namespace laconic {

struct RoundingOptions {
  QConfig qconfig = PresetQConfig("laconic", {.is_static = false});
  // Static activations, by what was observed of them; null: dynamic. With a scale a text, smoothing and rounding look
  // at rows that are quantized one by one.
  const CalibrationTable* table = nullptr;
  int threads = 1;
  // For samples and Hessians; layers that do not fit wait for another run over the texts. One group of layers is always
  // taken, however large.
  std::int64_t memory_bytes = std::int64_t{256} << 20;
};

// Runs the float `graph` over `texts` and rounds the linear layers among `layers`. Static activations' parameters go to
// `ranges`, by the names of what the layers read; they are those of all texts of the table.
//
// The result depends on the texts and their order, but on no number of threads and no memory limit.
// Errors: kInvalidArgument for no text where one is needed, a weight or an activation that is not finite, naming it,
// and as RangesFrom; kCancelled.
passes::CalibratedRounding RoundLinears(const Graph& graph, const std::set<std::string>& layers,
                                        std::span<const Encoding> texts, const RoundingOptions& options,
                                        const ProgressFn& progress, std::map<std::string, quant::QuantParams>* ranges);

}  // namespace laconic
