#include "metrics/logistic_regression.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <numeric>
#include <optional>

#include "base/cancel.h"
#include "laconic/error.h"
#include "metrics/linear_algebra.h"

namespace laconic {
namespace {

constexpr std::int64_t kMaxIterations = 1000;
constexpr double kTolerance = 1e-5;
constexpr std::size_t kHistory = 10;
constexpr std::int64_t kMaxChunks = 32;  // each has a gradient of its own; fixed, so that sums do not depend on threads

using Vector = std::vector<double>;

// Replaces a text's logits by the gradient of its loss with respect to them, and returns the loss.
double LossAndGradient(ProblemType problem, const std::uint8_t* targets, std::int64_t num_labels,
                       double* logits) noexcept {
  double loss = 0;
  if (problem == ProblemType::kMultiLabel) {
    for (std::int64_t k = 0; k < num_labels; ++k) {
      const double small = std::exp(-std::abs(logits[k]));  // never overflows
      loss += std::max(logits[k], 0.0) + std::log1p(small) - targets[k] * logits[k];
      logits[k] = (logits[k] >= 0 ? 1 : small) / (1 + small) - targets[k];
    }
    return loss;
  }
  const double largest = *std::max_element(logits, logits + num_labels);
  double sum = 0;
  for (std::int64_t k = 0; k < num_labels; ++k) {
    logits[k] -= largest;
    loss -= targets[k] * logits[k];
    logits[k] = std::exp(logits[k]);
    sum += logits[k];
  }
  for (std::int64_t k = 0; k < num_labels; ++k) {
    logits[k] = logits[k] / sum - targets[k];
  }
  return loss + std::log(sum);
}

void CheckTargets(ProblemType problem, const LabelledFeatures& data, std::int64_t num_rows) {
  const auto size = static_cast<std::int64_t>(data.targets.size());
  if (data.num_labels < 1 || size != num_rows * data.num_labels) {
    Fail(ErrorCode::kInvalidArgument, "expected targets of ", num_rows, " rows and ", data.num_labels, " labels, got ",
         size, " values");
  }
  for (std::int64_t begin = 0; begin < size && problem == ProblemType::kSingleLabel; begin += data.num_labels) {
    const auto row = data.targets.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(data.num_labels));
    if (std::accumulate(row.begin(), row.end(), 0) != 1) {
      Fail(ErrorCode::kInvalidArgument, "row ", begin / data.num_labels, " does not have exactly one label");
    }
  }
}

// Loss and gradient of labels that are fitted together, all for a softmax and one for sigmoids, as a function of their
// parameters [labels, num_features + 1], the bias last in each row. Features are centered and divided by the root of
// their mean variance.
class Objective {
 public:
  Objective(ProblemType problem, const LabelledFeatures& data, ThreadPool* pool)
      : problem_(problem), data_(data), x_(CenterFeatures(data.features, data.num_features)), pool_(pool) {
    CheckTargets(problem, data, x_.num_rows);
    scale_ = x_.mean_variance > 0 ? 1 / std::sqrt(x_.mean_variance) : 1;
    for (double& value : x_.values) {
      value *= scale_;
    }
    covariance_ = Covariance(x_, pool);
    curvature_ = problem == ProblemType::kMultiLabel ? 0.25 : 0.5;
    num_labels_ = problem == ProblemType::kMultiLabel ? 1 : data.num_labels;
    rows_per_chunk_ = (x_.num_rows + kMaxChunks - 1) / kMaxChunks;
    const std::int64_t num_chunks = (x_.num_rows + rows_per_chunk_ - 1) / rows_per_chunk_;
    chunks_.resize(static_cast<std::size_t>(num_chunks));
    for (Chunk& chunk : chunks_) {
      chunk.gradient.resize(num_parameters());
      chunk.logits.resize(static_cast<std::size_t>(num_labels_));
    }
  }

  std::size_t num_parameters() const noexcept {
    return static_cast<std::size_t>(num_labels_ * (data_.num_features + 1));
  }

  std::int64_t num_groups() const noexcept { return data_.num_labels / num_labels_; }  // of labels fitted together
  void SelectGroup(std::int64_t group) noexcept { first_label_ = group * num_labels_; }

  double Evaluate(const Vector& parameters, double l2, Vector* gradient) {
    pool_->Run(static_cast<std::int64_t>(chunks_.size()), [&](std::int64_t i, int) {
      EvaluateChunk(parameters.data(), i * rows_per_chunk_, &chunks_[static_cast<std::size_t>(i)]);
    });
    std::fill(gradient->begin(), gradient->end(), 0);
    const auto size = static_cast<std::int64_t>(num_parameters());
    const double weight = 1 / static_cast<double>(x_.num_rows);
    double loss = 0;
    for (const Chunk& chunk : chunks_) {
      loss += weight * chunk.loss;
      AddScaled(weight, chunk.gradient, gradient);
    }
    for (std::int64_t begin = 0; begin < size; begin += data_.num_features + 1) {
      loss += l2 / 2 * Dot(parameters.data() + begin, parameters.data() + begin, data_.num_features);
      AddScaled(l2, parameters.data() + begin, data_.num_features, gradient->data() + begin);
    }
    return loss;
  }

  // Prepares Precondition() for this penalty.
  void SetPenalty(double l2) {
    constexpr double kRidge = 1e-6;  // against dependent features; the variance is 1 here
    preconditioner_ = Cholesky(covariance_, l2 / curvature_ + kRidge);
  }

  // Multiplies by the inverse of a matrix that bounds the Hessian: curvature · covariance + l2 · I for each label.
  // (D. Böhning and B. G. Lindsay, Monotonicity of quadratic-approximation algorithms, 1988.)
  void Precondition(Vector* values) const {
    pool_->Run(num_labels_, [&](std::int64_t label, int) {
      double* row = values->data() + label * (data_.num_features + 1);
      SolveCholesky(*preconditioner_, row);
      for (std::int64_t i = 0; i <= data_.num_features; ++i) {
        row[i] /= curvature_;
      }
    });
  }

  // Adds the labels of `parameters` to a head, in terms of the features as they were given.
  void AppendTo(LinearHead* head, const Vector& parameters) const {
    const double* p = parameters.data();
    for (std::int64_t label = 0; label < num_labels_; ++label, ++p) {
      double bias = p[data_.num_features];
      for (const double mean : x_.mean) {
        const double weight = *p++ * scale_;
        bias -= weight * mean;
        head->weight.push_back(static_cast<float>(weight));
      }
      head->bias.push_back(static_cast<float>(bias));
    }
  }

 private:
  struct Chunk {
    double loss = 0;
    Vector gradient;
    Vector logits;
  };

  void EvaluateChunk(const double* parameters, std::int64_t begin, Chunk* chunk) const noexcept {
    const std::int64_t size = data_.num_features;
    chunk->loss = 0;
    std::fill(chunk->gradient.begin(), chunk->gradient.end(), 0);
    for (std::int64_t n = begin; n < std::min(begin + rows_per_chunk_, x_.num_rows); ++n) {
      double* logits = chunk->logits.data();
      for (std::int64_t k = 0; k < num_labels_; ++k) {
        const double* weight = parameters + k * (size + 1);
        logits[k] = Dot(weight, x_.row(n), size) + weight[size];
      }
      const std::uint8_t* targets = data_.targets.data() + n * data_.num_labels + first_label_;
      chunk->loss += LossAndGradient(problem_, targets, num_labels_, logits);
      for (std::int64_t k = 0; k < num_labels_; ++k) {
        double* gradient = chunk->gradient.data() + k * (size + 1);
        AddScaled(logits[k], x_.row(n), size, gradient);
        gradient[size] += logits[k];
      }
    }
  }

  ProblemType problem_;
  const LabelledFeatures& data_;
  CenteredFeatures x_;
  ThreadPool* pool_;
  double scale_ = 1;
  std::int64_t num_labels_ = 0;  // of a group
  std::int64_t first_label_ = 0;
  std::int64_t rows_per_chunk_ = 0;
  std::vector<Chunk> chunks_;
  LowerTriangle covariance_{0};
  std::optional<LowerTriangle> preconditioner_;
  double curvature_ = 0;
};

// The two-loop recursion of L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.4), beginning from a scaled
// preconditioner.
class InverseHessian {
 public:
  explicit InverseHessian(const Objective& objective) : objective_(objective) {}

  bool empty() const noexcept { return pairs_.empty(); }
  void Clear() noexcept { pairs_.clear(); }

  // `step` in the parameters changed the gradient by `change`.
  void Update(Vector step, Vector change) {
    const double curvature = Dot(step, change);
    if (curvature <= 1e-10 * Dot(change, change)) {
      return;  // rounding has eaten the curvature
    }
    if (pairs_.size() == kHistory) {
      pairs_.pop_front();
    }
    Vector preconditioned = change;
    objective_.Precondition(&preconditioned);
    scale_ = curvature / Dot(change, preconditioned);
    pairs_.push_back({std::move(step), std::move(change), curvature});
  }

  // direction = -H · gradient
  Vector Direction(const Vector& gradient) const {
    Vector direction(gradient.size());
    std::transform(gradient.begin(), gradient.end(), direction.begin(), std::negate<>());
    std::vector<double> alpha(pairs_.size());
    for (std::size_t i = pairs_.size(); i-- > 0;) {
      alpha[i] = Dot(pairs_[i].step, direction) / pairs_[i].curvature;
      AddScaled(-alpha[i], pairs_[i].change, &direction);
    }
    objective_.Precondition(&direction);
    const double scale = pairs_.empty() ? 1 : scale_;
    std::for_each(direction.begin(), direction.end(), [&](double& value) { value *= scale; });
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const double beta = Dot(pairs_[i].change, direction) / pairs_[i].curvature;
      AddScaled(alpha[i] - beta, pairs_[i].step, &direction);
    }
    return direction;
  }

 private:
  struct Pair {
    Vector step;
    Vector change;
    double curvature;
  };
  const Objective& objective_;
  std::deque<Pair> pairs_;
  double scale_ = 1;
};

double LargestMagnitude(const Vector& values) {
  return std::accumulate(values.begin(), values.end(), 0.0,
                         [](double largest, double value) { return std::max(largest, std::abs(value)); });
}

struct Point {
  Vector parameters;
  double loss = 0;
  Vector gradient;
};

// A point along `direction` where the loss has fallen enough (Armijo), the step halved until it has. The loss is
// convex, so that no condition on the curvature is needed. nullopt where no step helps any more.
std::optional<Point> Search(Objective* objective, double l2, const Point& from, const Vector& direction) {
  constexpr double kSufficientDecrease = 1e-4;
  constexpr int kMaxHalvings = 40;
  const double slope = Dot(from.gradient, direction);
  Point to{{}, 0, Vector(from.gradient.size())};
  double step = 1;
  for (int i = 0; i < kMaxHalvings && slope < 0; ++i, step /= 2) {
    to.parameters = from.parameters;
    AddScaled(step, direction, &to.parameters);
    to.loss = objective->Evaluate(to.parameters, l2, &to.gradient);
    if (to.loss <= from.loss + kSufficientDecrease * step * slope) {
      return to;
    }
  }
  return std::nullopt;
}

// Minimises from `parameters`, which it replaces by the best found.
void Minimise(Objective* objective, double l2, Vector* parameters, LogisticFit* fit) {
  Point at{*parameters, 0, Vector(parameters->size())};
  at.loss = objective->Evaluate(at.parameters, l2, &at.gradient);
  InverseHessian hessian(*objective);
  for (std::int64_t i = 0; i < kMaxIterations && LargestMagnitude(at.gradient) > kTolerance; ++i) {
    ThrowIfCancelled();
    ++fit->iterations;
    auto next = Search(objective, l2, at, hessian.Direction(at.gradient));
    if (!next && hessian.empty()) {
      break;
    }
    if (!next) {
      hessian.Clear();
      continue;
    }
    Vector step = next->parameters;
    Vector change = next->gradient;
    AddScaled(-1, at.parameters, &step);
    AddScaled(-1, at.gradient, &change);
    hessian.Update(std::move(step), std::move(change));
    at = std::move(*next);
  }
  fit->converged = fit->converged && LargestMagnitude(at.gradient) <= kTolerance;
  *parameters = std::move(at.parameters);
}

// Fits for one penalty after another, each time from where the last fit ended.
class Fitter {
 public:
  Fitter(ProblemType problem, const LabelledFeatures& train, ThreadPool* pool)
      : train_(train), objective_(problem, train, pool) {
    parameters_.assign(static_cast<std::size_t>(objective_.num_groups()), Vector(objective_.num_parameters()));
  }

  LogisticFit Fit(double l2) {
    if (!(l2 >= 0) || std::isinf(l2)) {
      Fail(ErrorCode::kInvalidArgument, "expected an l2 of at least 0, got ", l2);
    }
    objective_.SetPenalty(l2);
    LogisticFit fit{{train_.num_labels, train_.num_features, {}, {}}, 0, true};
    for (std::size_t group = 0; group < parameters_.size(); ++group) {
      objective_.SelectGroup(static_cast<std::int64_t>(group));
      Minimise(&objective_, l2, &parameters_[group], &fit);
      objective_.AppendTo(&fit.head, parameters_[group]);
    }
    return fit;
  }

 private:
  const LabelledFeatures& train_;
  Objective objective_;
  std::vector<Vector> parameters_;
};

}  // namespace

LogisticFit FitLogistic(ProblemType problem, const LabelledFeatures& train, double l2, ThreadPool* pool) {
  return Fitter(problem, train, pool).Fit(l2);
}

double LogisticLoss(ProblemType problem, const LabelledFeatures& data, const LinearHead& head) {
  if (head.num_features != data.num_features || head.num_labels != data.num_labels || data.num_features < 1) {
    Fail(ErrorCode::kInvalidArgument, "expected ", head.num_features, " features and ", head.num_labels,
         " labels, got ", data.num_features, " and ", data.num_labels);
  }
  const auto num_rows = static_cast<std::int64_t>(data.features.size()) / data.num_features;
  CheckTargets(problem, data, num_rows);
  const Vector weight(head.weight.begin(), head.weight.end());
  Vector row(static_cast<std::size_t>(data.num_features));
  Vector logits(head.bias.size());
  double loss = 0;
  for (std::int64_t n = 0; n < num_rows; ++n) {
    std::copy_n(data.features.data() + n * data.num_features, row.size(), row.data());
    for (std::size_t k = 0; k < logits.size(); ++k) {
      logits[k] = Dot(weight.data() + k * row.size(), row.data(), data.num_features) + head.bias[k];
    }
    loss += LossAndGradient(problem, data.targets.data() + n * data.num_labels, data.num_labels, logits.data());
  }
  return loss / static_cast<double>(std::max<std::int64_t>(num_rows, 1));
}

LogisticSelection FitLogisticWithValidation(ProblemType problem, const LabelledFeatures& train,
                                            const LabelledFeatures& validation, std::vector<double> l2s,
                                            ThreadPool* pool, const ProgressFn& progress) {
  if (l2s.empty()) {
    Fail(ErrorCode::kInvalidArgument, "expected at least one l2 to choose from");
  }
  std::sort(l2s.begin(), l2s.end(), std::greater<>());
  Fitter fitter(problem, train, pool);
  LogisticSelection best;
  double best_loss = 0;
  for (const double l2 : l2s) {
    LogisticFit fit = fitter.Fit(l2);
    const double loss = LogisticLoss(problem, validation, fit.head);
    best.trials.push_back({l2, loss});
    if (best.trials.size() == 1 || loss < best_loss) {
      best_loss = loss;
      best.l2 = l2;
      best.fit = std::move(fit);
    }
    if (progress) {
      progress("fitting the head", static_cast<std::int64_t>(best.trials.size()),
               static_cast<std::int64_t>(l2s.size()));
    }
  }
  return best;
}

}  // namespace laconic
