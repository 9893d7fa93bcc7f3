// Logistic regression by L-BFGS: a classification head on a frozen encoder's features.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "laconic/problem_type.h"
#include "metrics/linear_head.h"

namespace laconic {

// n texts: features [n, num_features], targets [n, num_labels] with 1 where a label is on.
struct LabelledFeatures {
  std::int64_t num_features = 0;
  std::int64_t num_labels = 0;
  std::span<const float> features;
  std::span<const std::uint8_t> targets;
};

struct LogisticFit {
  LinearHead head;
  std::int64_t iterations = 0;  // of all labels together
  bool converged = false;       // the largest component of the gradient fell below 1e-5 within 1,000 iterations a label
};

// The head that minimises  mean loss + l2 / 2 · v · |weight|²,  where the loss of a text is its softmax cross-entropy
// (single-label) or the sum over labels of the sigmoid's (multi-label), and v is the mean variance of the features: the
// same l2 means the same for every encoder. The bias is free. scikit-learn's LogisticRegression(C = 1 / (n · v · l2))
// has the same minimum, but for two softmax classes, which it fits as one sigmoid.
//
// Numerics: double; nothing is random; the result does not depend on the number of threads.
// Errors:   kInvalidArgument for shapes that do not fit, features that are not finite, a negative l2; kCancelled.
LogisticFit FitLogistic(ProblemType problem, const LabelledFeatures& train, double l2, ThreadPool* pool);

// Mean loss (without penalty) of a head. Errors: kInvalidArgument as above.
double LogisticLoss(ProblemType problem, const LabelledFeatures& data, const LinearHead& head);

struct L2Trial {
  double l2 = 0;
  double validation_loss = 0;
};

struct LogisticSelection {
  LogisticFit fit;
  double l2 = 0;
  std::vector<L2Trial> trials;  // strongest penalty first
};

// Fits on `train` once for each of `l2s`, each fit starting from the one before, and keeps the one with the smallest
// loss on `validation`; of equals, that with the stronger penalty. Errors: those of FitLogistic; kInvalidArgument for
// no candidates.
LogisticSelection FitLogisticWithValidation(ProblemType problem, const LabelledFeatures& train,
                                            const LabelledFeatures& validation, std::vector<double> l2s,
                                            ThreadPool* pool, const ProgressFn& progress = {});

}  // namespace laconic
