// INT8 with calibration texts, in three steps: Prepare plants observers where linear layers read, Calibrate shows them
// texts, Convert writes the model: static, whose scales are known before it runs, or dynamic, which is only rounded
// better.
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

// `options.method`: "static" or "dynamic".
// Errors: as QuantizeModel's for layers, QConfig and a model that is already compressed; kInvalidArgument for another
// method.
PreparedModel Prepare(const Model& model, const QuantizeOptions& options = {});

// Takes the texts, `options.batch` at a time. Returns how many. For method static all run through the float model, into
// a calibration table (calibrate.h) that gives the ranges, unless QuantizeOptions have one; and where Convert smooths,
// feeds errors back or corrects biases, up to 512 of all texts, chosen evenly, are kept for it. May be called again
// with other texts, unless the observer depends on their order. Errors: those of the reader, the tokenizer and the
// session, of MakeCalibrationTable and CalibrationTable::Merge.
std::int64_t Calibrate(PreparedModel* prepared, const NextRowFn& next, const RunOptions& options = {});

// Errors: kInvalidArgument where nothing was observed, or for a weight or activation that is not finite; kCancelled.
Model Convert(const PreparedModel& prepared, const ProgressFn& progress = {});

}  // namespace laconic
