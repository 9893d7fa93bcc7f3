// A classification head by convex optimisation: seconds, no training framework.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "laconic/dataset.h"
#include "laconic/evaluate.h"
#include "laconic/model.h"

namespace laconic {

struct FitHeadOptions {
  RunOptions run;
  DatasetOptions columns;  // where texts and labels lie
  // Strengths of the L2 penalty, relative to the features' mean variance, of which validation picks one.
  std::vector<double> l2s = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1};
  std::uint64_t seed = 0;  // of the tenth of the texts that is held out where no validation data is given
};

struct FitHeadReport {
  struct Trial {
    double l2 = 0;
    double validation_loss = 0;
  };
  std::vector<Trial> trials;
  double l2 = 0;  // the one chosen
  std::int64_t num_train = 0;
  std::int64_t num_validation = 0;
  bool converged = false;
};

// `encoder` with a new head: multinomial or multi-label logistic regression, whichever the labels in `train` call for,
// on the features that enter the present head (or leave an encoder without one). Labels are those in `train`. Errors:
// those of ReadDataset; kInvalidArgument for validation labels that `train` lacks, or a quantized encoder.
Model FitHead(const Model& encoder, const std::vector<std::filesystem::path>& train,
              const std::vector<std::filesystem::path>& validation, const FitHeadOptions& options,
              FitHeadReport* report);

struct RefitOptions {
  RunOptions run;
  double penalty = 0.1;  // toward the old head, relative to the features' mean variance
};

// `model` with its head refitted by least squares so that, on the features of the compressed encoder, it gives the
// logits of `teacher`. Needs no labels. A head of dynamic INT8 is quantized again, as the model's recipe says; of any
// other form it becomes f32, behind a static one's quantized features. Errors: kInvalidArgument for models without a
// head, or whose labels differ; kInvalidFile for a recipe that is none.
Model RefitHeadToTeacher(const Model& model, const Model& teacher, const Dataset& data, const RefitOptions& options);

}  // namespace laconic
