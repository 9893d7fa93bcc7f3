// Labels for a stream of texts.
#pragma once

#include <cstdint>
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
  std::span<const float> probabilities;  // of all labels; gone when PredictionFn returns
  bool truncated = false;
};

// Called for each text in its order, from one thread, which need not be the caller's.
using PredictionFn = std::function<void(const Prediction&)>;

struct PredictSummary {
  std::int64_t num_texts = 0;
  std::int64_t num_truncated = 0;
};

// Reads and tokenizes on the caller's thread while `options.threads` others run the model on what is there; with one
// thread in all, the two take turns. At most 32 batches of texts are held at a time: memory does not grow with their
// number. Answers come as soon as a batch is read, with several threads also when `next` pauses, and are the same
// whatever the threads. An error of text n comes after the answers to all texts before it; one of running while `next`
// waits, when `next` returns. Errors: kInvalidArgument for a model without labels; those of the reader, the tokenizer
// and the session.
PredictSummary Predict(const Model& model, const NextRowFn& next, const PredictionFn& on_prediction,
                       const RunOptions& options = {});

}  // namespace laconic
