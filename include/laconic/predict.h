// Labels for a stream of texts.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "laconic/dataset.h"
#include "laconic/evaluate.h"
#include "laconic/model.h"

namespace laconic {

struct Prediction {
  std::vector<std::int64_t> labels;      // those that are on, ascending
  std::span<const float> probabilities;  // of all labels
  bool truncated = false;
};

// Called for each text in its order.
using PredictionFn = std::function<void(const Prediction&)>;
// The next text, or nothing after the last.
using NextRowFn = std::function<std::optional<DatasetRow>()>;

struct PredictSummary {
  std::int64_t num_texts = 0;
  std::int64_t num_truncated = 0;
};

// Reads, runs and hands out `options.batch` texts at a time: memory does not grow with their number.
// Errors: kInvalidArgument for a model without labels; those of the reader, the tokenizer and the session.
PredictSummary Predict(const Model& model, const NextRowFn& next, const PredictionFn& on_prediction,
                       const RunOptions& options);

}  // namespace laconic
