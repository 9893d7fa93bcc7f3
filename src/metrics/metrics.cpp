#include "laconic/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "laconic/error.h"

namespace laconic {
namespace {

// Returns the number of rows.
std::size_t CheckMatrix(std::int64_t num_labels, std::size_t size) {
  if (num_labels < 1) {
    Fail(ErrorCode::kInvalidArgument, "expected at least 1 label, got ", num_labels);
  }
  if (size % static_cast<std::size_t>(num_labels) != 0) {
    Fail(ErrorCode::kInvalidArgument, "expected rows of ", num_labels, " labels, got ", size, " values");
  }
  return size / static_cast<std::size_t>(num_labels);
}

void CheckSameSize(std::size_t expected, std::size_t got) {
  if (expected != got) {
    Fail(ErrorCode::kInvalidArgument, "expected ", expected, " values, got ", got);
  }
}

// log sum exp of a row, leaving out the element at `skip`; -inf where nothing is left.
double LogSumExp(std::span<const float> row, std::size_t skip) {
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < row.size(); ++i) {
    largest = i == skip ? largest : std::max(largest, static_cast<double>(row[i]));
  }
  if (std::isinf(largest)) {
    return largest;
  }
  double sum = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    sum += i == skip ? 0 : std::exp(row[i] - largest);
  }
  return largest + std::log(sum);
}

// What ranks texts by `label`. The log-odds of a softmax rank as its probabilities do, without rounding to ties at 1.
std::vector<double> RankingScores(ProblemType problem, std::size_t num_labels, std::span<const float> logits,
                                  std::size_t label) {
  std::vector<double> scores;
  for (std::size_t begin = 0; begin < logits.size(); begin += num_labels) {
    const auto row = logits.subspan(begin, num_labels);
    scores.push_back(problem == ProblemType::kMultiLabel ? row[label] : row[label] - LogSumExp(row, label));
  }
  return scores;
}

double Ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

struct Counts {
  std::int64_t both = 0;  // true and predicted
  std::int64_t truth = 0;
  std::int64_t predicted = 0;

  double F1() const { return Ratio(2 * both, truth + predicted); }
};

}  // namespace

std::vector<std::uint8_t> Decide(ProblemType problem, std::int64_t num_labels, std::span<const float> logits) {
  CheckMatrix(num_labels, logits.size());
  std::vector<std::uint8_t> decisions(logits.size());
  if (problem == ProblemType::kMultiLabel) {
    std::transform(logits.begin(), logits.end(), decisions.begin(), [](float logit) { return logit > 0 ? 1 : 0; });
    return decisions;
  }
  for (auto row = logits.begin(); row != logits.end(); row += num_labels) {
    const auto best = std::max_element(row, row + num_labels);
    decisions[static_cast<std::size_t>(best - logits.begin())] = 1;
  }
  return decisions;
}

std::vector<float> Probabilities(ProblemType problem, std::int64_t num_labels, std::span<const float> logits) {
  CheckMatrix(num_labels, logits.size());
  std::vector<float> probabilities;
  probabilities.reserve(logits.size());
  if (problem == ProblemType::kMultiLabel) {
    for (const float logit : logits) {
      probabilities.push_back(static_cast<float>(1 / (1 + std::exp(-static_cast<double>(logit)))));
    }
    return probabilities;
  }
  const auto size = static_cast<std::size_t>(num_labels);
  for (std::size_t begin = 0; begin < logits.size(); begin += size) {
    const auto row = logits.subspan(begin, size);
    const double total = LogSumExp(row, size);
    for (const float logit : row) {
      probabilities.push_back(static_cast<float>(std::exp(logit - total)));
    }
  }
  return probabilities;
}

std::optional<double> RocAuc(std::span<const double> scores, std::span<const std::uint8_t> targets) {
  CheckSameSize(scores.size(), targets.size());
  const auto num_positive = std::count(targets.begin(), targets.end(), 1);
  const auto num_negative = static_cast<std::int64_t>(targets.size()) - num_positive;
  const bool any_nan = std::any_of(scores.begin(), scores.end(), [](double score) { return std::isnan(score); });
  if (num_positive == 0 || num_negative == 0 || any_nan) {
    return std::nullopt;
  }
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  // Twice the number of pairs won, which is whole.
  std::int64_t won = 0;
  std::int64_t negatives_below = 0;
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    std::int64_t positives = 0;
    for (; end < order.size() && scores[order[end]] == scores[order[begin]]; ++end) {
      positives += targets[order[end]];
    }
    const auto negatives = static_cast<std::int64_t>(end - begin) - positives;
    won += positives * (2 * negatives_below + negatives);
    negatives_below += negatives;
  }
  return static_cast<double>(won) / 2 / static_cast<double>(num_positive) / static_cast<double>(num_negative);
}

ClassificationMetrics ComputeMetrics(ProblemType problem, std::int64_t num_labels, std::span<const float> logits,
                                     std::span<const std::uint8_t> targets) {
  const std::size_t num_texts = CheckMatrix(num_labels, logits.size());
  CheckSameSize(logits.size(), targets.size());
  if (num_texts == 0) {
    Fail(ErrorCode::kInvalidArgument, "expected at least one text");
  }
  const auto size = static_cast<std::size_t>(num_labels);
  const std::vector<std::uint8_t> decisions = Decide(problem, num_labels, logits);
  std::vector<Counts> counts(size);
  std::int64_t texts_right = 0;
  for (std::size_t begin = 0; begin < targets.size(); begin += size) {
    texts_right += std::ranges::equal(targets.subspan(begin, size), std::span(decisions).subspan(begin, size)) ? 1 : 0;
    for (std::size_t label = 0; label < size; ++label) {
      counts[label].truth += targets[begin + label];
      counts[label].predicted += decisions[begin + label];
      counts[label].both += targets[begin + label] & decisions[begin + label];
    }
  }

  ClassificationMetrics metrics;
  metrics.accuracy = Ratio(texts_right, static_cast<std::int64_t>(num_texts));
  Counts all;
  double f1_sum = 0;
  double num_f1s = 0;
  double auc_sum = 0;
  double num_aucs = 0;
  std::vector<std::uint8_t> column(num_texts);
  for (std::size_t label = 0; label < size; ++label) {
    const Counts& count = counts[label];
    all.both += count.both;
    all.truth += count.truth;
    all.predicted += count.predicted;
    for (std::size_t text = 0; text < num_texts; ++text) {
      column[text] = targets[text * size + label];
    }
    const auto auc = RocAuc(RankingScores(problem, size, logits, label), column);
    metrics.labels.push_back(
        {Ratio(count.both, count.predicted), Ratio(count.both, count.truth), count.F1(), auc, count.truth});
    f1_sum += count.F1();
    num_f1s += problem == ProblemType::kMultiLabel || count.truth + count.predicted > 0 ? 1 : 0;
    auc_sum += auc.value_or(0);
    num_aucs += auc ? 1 : 0;
  }
  metrics.micro_f1 = all.F1();
  metrics.macro_f1 = f1_sum / num_f1s;
  if (num_aucs > 0) {
    metrics.macro_roc_auc = auc_sum / num_aucs;
  }
  return metrics;
}

LogitComparison CompareLogits(ProblemType problem, std::int64_t num_labels, std::span<const float> base,
                              std::span<const float> candidate) {
  const std::size_t num_texts = CheckMatrix(num_labels, base.size());
  CheckSameSize(base.size(), candidate.size());
  const auto size = static_cast<std::size_t>(num_labels);
  const std::vector<std::uint8_t> before = Decide(problem, num_labels, base);
  const std::vector<std::uint8_t> after = Decide(problem, num_labels, candidate);
  LogitComparison result;
  std::int64_t decisions_changed = 0;
  for (std::size_t begin = 0; begin < base.size(); begin += size) {
    std::int64_t changed = 0;
    for (std::size_t i = begin; i < begin + size; ++i) {
      changed += before[i] != after[i] ? 1 : 0;
      const double difference = std::abs(static_cast<double>(candidate[i]) - base[i]);
      result.mean_abs_difference += difference;
      if (!(difference <= result.max_abs_difference)) {  // so that a NaN stays
        result.max_abs_difference = std::isnan(result.max_abs_difference) ? result.max_abs_difference : difference;
      }
    }
    decisions_changed += changed;
    result.texts_changed += changed > 0 ? 1 : 0;
  }
  result.mean_abs_difference /= std::max<double>(1, static_cast<double>(base.size()));
  const bool single = problem == ProblemType::kSingleLabel;
  result.predictions_total = static_cast<std::int64_t>(single ? num_texts : base.size());
  result.predictions_changed = single ? result.texts_changed : decisions_changed;
  return result;
}

double Percentile(std::span<const double> values, double percent) {
  if (values.empty() || !(percent >= 0 && percent <= 100)) {
    Fail(ErrorCode::kInvalidArgument, "expected values and a percent from 0 to 100, got ", values.size(), " and ",
         percent);
  }
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double rank = percent / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const double above = sorted[std::min(below + 1, sorted.size() - 1)];
  return sorted[below] + (rank - static_cast<double>(below)) * (above - sorted[below]);
}

LatencySummary SummarizeLatency(std::span<const double> milliseconds, std::int64_t num_texts) {
  if (milliseconds.empty()) {
    Fail(ErrorCode::kInvalidArgument, "expected at least one run");
  }
  const double total = std::accumulate(milliseconds.begin(), milliseconds.end(), 0.0);
  const auto num_runs = static_cast<double>(milliseconds.size());
  LatencySummary summary;
  summary.mean = total / num_runs;
  double squares = 0;
  for (const double value : milliseconds) {
    squares += (value - summary.mean) * (value - summary.mean);
  }
  summary.std = std::sqrt(squares / num_runs);
  summary.p50 = Percentile(milliseconds, 50);
  summary.p95 = Percentile(milliseconds, 95);
  summary.p99 = Percentile(milliseconds, 99);
  summary.throughput_per_s = static_cast<double>(num_texts) * 1000 / total;
  return summary;
}

}  // namespace laconic
