// Compressing a model.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "laconic/model.h"
#include "laconic/progress.h"

namespace laconic {

struct QuantizeOptions {
  // "dynamic": INT8, activations quantized token by token as the model runs.
  // "static": INT8 with scales known before; needs texts, see static.h.
  // "fp16", "bf16": weights of half the width, computed with in f32.
  std::string method = "dynamic";
  // Which layers: of these kinds ("linear", "embedding"; empty: all), of these names (shell patterns; `include` empty:
  // all but embeddings of up to four rows, i.e. token types; `exclude` wins). Names are those of the checkpoint's
  // modules, e.g. "bert.pooler.dense".
  std::vector<std::string> kinds;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  ProgressFn progress;
};

std::vector<std::string_view> KnownMethods();

// The model with its selected layers compressed. The weights of `model` are read once, layer by layer.
// Errors: kInvalidArgument for an unknown method (listing the known ones) or kind, a pattern that matches no layer, a
// model that is already compressed, a weight that is not finite or overflows; kCancelled.
Model QuantizeModel(const Model& model, const QuantizeOptions& options = {});

}  // namespace laconic
