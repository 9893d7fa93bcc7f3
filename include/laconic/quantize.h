// Compressing a model.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "laconic/calibrate.h"
#include "laconic/model.h"
#include "laconic/progress.h"
#include "laconic/qconfig.h"

namespace laconic {

struct QuantizeOptions {
  // "dynamic": INT8, activations quantized token by token as the model runs; with texts (static_quantization.h) the
  // better. "static": INT8 with scales known before; needs texts or a calibration table. "fp16", "bf16": weights of
  // half the width, computed with as CompileOptions::precision says.
  std::string method = "dynamic";
  // INT8: how; none: the preset "laconic".
  std::optional<QConfig> qconfig;
  // "static": what the ranges of activations come from; none: the texts.
  std::optional<CalibrationTable> table;
  // Which layers: of these kinds ("linear", "embedding"; empty: all), of these names (shell patterns; `include` empty:
  // all but embeddings of up to four rows, i.e. token types; `exclude` wins). Names are those of the checkpoint's
  // modules, e.g. "bert.pooler.dense".
  std::vector<std::string> kinds;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  // Linear layers whose weights get 7 bits whatever the QConfig says: their sums cannot saturate on any CPU
  // (certify.h).
  std::set<std::string> reduced_range;
  // How many texts the files hold of which EvenRowReader gives Calibrate a sample; kept in the recipe. 0: not stated.
  std::int64_t calibration_rows = 0;
  ProgressFn progress;
};

std::vector<std::string_view> KnownMethods();

// The model with its selected layers compressed. The weights of `model` are read once, layer by layer.
// Errors: kInvalidArgument for an unknown method (listing the known ones) or kind, a pattern that matches no layer, a
// model that is already compressed, a QConfig as CheckQConfig or that is no use for the method, a table of another
// model or QConfig, a weight that is not finite or overflows; kCancelled.
Model QuantizeModel(const Model& model, const QuantizeOptions& options = {});

}  // namespace laconic
