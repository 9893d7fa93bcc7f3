// Compressing a model.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "laconic/model.h"
#include "laconic/progress.h"
#include "laconic/qconfig.h"

namespace laconic {

// What INT8 does with calibration texts (Prepare, Calibrate, Convert); each can be switched off. docs/numerics.md,
// "Weights: better than rounding to nearest". The defaults are what measured best on validation data.
struct CalibratedOptions {
  SmoothQuant smooth_quant = SmoothQuant::kAuto;
  double smooth_alpha = 0;            // kFixed: 0 < alpha <= 1
  bool gptq = true;                   // rounds with error feedback
  bool bias_correction = true;        // keeps each output's mean
  bool mse_weight_range = false;      // else up to the largest weight
  std::int64_t embedding_block = 32;  // columns of an embedding's row that share a scale; 0: the whole row
};

struct QuantizeOptions {
  // "dynamic": INT8, activations quantized token by token as the model runs; with texts (static_quantization.h) the
  // better. "static": INT8 with scales known before; needs texts, see static_quantization.h. "fp16", "bf16": weights of
  // half the width, computed with in f32.
  std::string method = "dynamic";
  // Which layers: of these kinds ("linear", "embedding"; empty: all), of these names (shell patterns; `include` empty:
  // all but embeddings of up to four rows, i.e. token types; `exclude` wins). Names are those of the checkpoint's
  // modules, e.g. "bert.pooler.dense".
  std::vector<std::string> kinds;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  CalibratedOptions calibrated;
  // Linear layers whose weights get codes in [-64, 64], half the usual ones: their sums cannot saturate on any CPU
  // (certify.h).
  std::set<std::string> reduced_range;
  ProgressFn progress;
};

std::vector<std::string_view> KnownMethods();

// The model with its selected layers compressed. The weights of `model` are read once, layer by layer.
// Errors: kInvalidArgument for an unknown method (listing the known ones) or kind, a pattern that matches no layer, a
// model that is already compressed, a weight that is not finite or overflows; kCancelled.
Model QuantizeModel(const Model& model, const QuantizeOptions& options = {});

}  // namespace laconic
