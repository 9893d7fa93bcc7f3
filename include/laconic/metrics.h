// How good a classifier is, and how far a smaller one strays from it. Pure functions.
//
// Matrices are row-major [texts, num_labels]: logits f32; targets and decisions one byte an element, 1 = the label is
// on (for single-label problems exactly one a row). All functions that take matrices throw kInvalidArgument if
// num_labels is below 1, a size is not a multiple of it, or sizes differ.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "laconic/problem_type.h"

namespace laconic {

// Single-label: 1 at the largest logit of a row (the first of equals; a NaN never wins unless the first). Multi-label:
// 1 where the logit is above 0.
std::vector<std::uint8_t> Decide(ProblemType problem, std::int64_t num_labels, std::span<const float> logits);

// Softmax of each row, or the sigmoid of each element; computed in double.
std::vector<float> Probabilities(ProblemType problem, std::int64_t num_labels, std::span<const float> logits);

// Area under the ROC curve as the chance that a positive outranks a negative, ties counting one half. nullopt where one
// of the two kinds is missing or a score is NaN.
std::optional<double> RocAuc(std::span<const double> scores, std::span<const std::uint8_t> targets);

struct LabelMetrics {
  double precision = 0;  // 0 where nothing was predicted
  double recall = 0;     // 0 where nothing was true
  double f1 = 0;         // 0 where nothing was true nor predicted
  std::optional<double> roc_auc;
  std::int64_t support = 0;  // texts whose target has the label on
};

struct ClassificationMetrics {
  double accuracy = 0;  // share of texts with every label decided rightly
  double micro_f1 = 0;
  // Mean over the labels that are true or predicted somewhere; of multi-label problems over all, the others counting 0:
  // what scikit-learn makes of one label a text, and of an indicator matrix.
  double macro_f1 = 0;
  std::optional<double> macro_roc_auc;  // mean over the labels that have one
  std::vector<LabelMetrics> labels;
};

// ROC-AUC ranks texts by the label's logit, or for single-label problems by its probability against all others.
// Errors: also kInvalidArgument without any text.
ClassificationMetrics ComputeMetrics(ProblemType problem, std::int64_t num_labels, std::span<const float> logits,
                                     std::span<const std::uint8_t> targets);

struct LogitComparison {
  std::int64_t predictions_total = 0;    // texts (single-label) or label decisions (multi-label)
  std::int64_t predictions_changed = 0;  // of these
  std::int64_t texts_changed = 0;        // texts with at least one changed prediction
  double mean_abs_difference = 0;        // over all logits; NaN if one is NaN
  double max_abs_difference = 0;
};

LogitComparison CompareLogits(ProblemType problem, std::int64_t num_labels, std::span<const float> base,
                              std::span<const float> candidate);

// Linear interpolation between the order statistics around rank percent / 100 * (n - 1), numpy's default.
// Errors: kInvalidArgument for no values or a percent outside [0, 100].
double Percentile(std::span<const double> values, double percent);

struct LatencySummary {
  double mean = 0;
  double std = 0;  // of the population: divided by n
  double p50 = 0;
  double p95 = 0;
  double p99 = 0;
  double throughput_per_s = 0;
};

// Of runs that took `milliseconds` each and processed `num_texts` together. Errors: kInvalidArgument for no run.
LatencySummary SummarizeLatency(std::span<const double> milliseconds, std::int64_t num_texts);

}  // namespace laconic
