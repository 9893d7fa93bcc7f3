// Static INT8 in three steps: Prepare plants observers where linear layers read, Calibrate shows them texts, Convert
// writes the model whose scales are known before it runs.
#pragma once

#include <memory>

#include "laconic/evaluate.h"
#include "laconic/model.h"
#include "laconic/predict.h"
#include "laconic/quantize.h"

namespace laconic {

// A float model with observers. One user at a time.
class PreparedModel {
 public:
  struct Impl;
  explicit PreparedModel(std::unique_ptr<Impl> impl);  // by Prepare
  ~PreparedModel();
  PreparedModel(PreparedModel&&) noexcept;
  PreparedModel& operator=(PreparedModel&&) noexcept;
  Impl& impl() const noexcept { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// `options`: which layers (`method` is not looked at).
// Errors: as QuantizeModel's for layers and for a model that is already compressed.
PreparedModel Prepare(const Model& model, const QuantizeOptions& options = {});

// Runs the texts through the float model, `options.batch` at a time; may be called again with more. Returns how many.
// Errors: those of the reader, the tokenizer and the session; kInvalidArgument for a value that is not finite, naming
// it.
std::int64_t Calibrate(PreparedModel* prepared, const NextRowFn& next, const RunOptions& options = {});

// Errors: kInvalidArgument where nothing was observed, or for a weight that is not finite; kCancelled.
Model Convert(const PreparedModel& prepared, const ProgressFn& progress = {});

}  // namespace laconic
