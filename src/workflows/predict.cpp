#include "laconic/predict.h"

#include "base/cancel.h"
#include "base/progress.h"
#include "laconic/error.h"
#include "laconic/metrics.h"
#include "workflows/run_options.h"

namespace laconic {
namespace {

class Predictor {
 public:
  Predictor(const Model& model, const PredictionFn& on_prediction, const RunOptions& options)
      : model_(model),
        on_prediction_(on_prediction),
        options_(options),
        max_length_(MaxLength(model, options)),
        session_(CompiledModel::Compile(model), NumThreads(options)) {}

  void Add(const DatasetRow& row) {
    const Tokenizer& tokenizer = model_.tokenizer();
    batch_.push_back(row.second_text ? tokenizer.EncodePair(row.text, *row.second_text, max_length_)
                                     : tokenizer.Encode(row.text, max_length_));
    if (static_cast<std::int64_t>(batch_.size()) == options_.batch) {
      Flush();
    }
  }

  void Flush() {
    const std::vector<float> logits = session_.Run(batch_);
    const ModelInfo& info = model_.info();
    const auto num_labels = static_cast<std::int64_t>(info.labels.size());
    const std::vector<std::uint8_t> decisions = Decide(info.problem, num_labels, logits);
    const std::vector<float> probabilities = Probabilities(info.problem, num_labels, logits);
    for (std::size_t i = 0; i < batch_.size(); ++i) {
      Prediction prediction;
      const std::size_t row = i * info.labels.size();
      for (std::int64_t label = 0; label < num_labels; ++label) {
        if (decisions[row + static_cast<std::size_t>(label)] != 0) {
          prediction.labels.push_back(label);
        }
      }
      prediction.probabilities = std::span(probabilities).subspan(row, info.labels.size());
      prediction.truncated = batch_[i].truncated;
      summary_.num_truncated += prediction.truncated ? 1 : 0;
      on_prediction_(prediction);
    }
    summary_.num_texts += static_cast<std::int64_t>(batch_.size());
    batch_.clear();
    Report(options_.progress, "predicting", summary_.num_texts, 0);
  }

  const PredictSummary& summary() const noexcept { return summary_; }

 private:
  const Model& model_;
  const PredictionFn& on_prediction_;
  const RunOptions& options_;
  std::int64_t max_length_;
  Session session_;
  std::vector<Encoding> batch_;
  PredictSummary summary_;
};

}  // namespace

PredictSummary Predict(const Model& model, const NextRowFn& next, const PredictionFn& on_prediction,
                       const RunOptions& options) {
  if (model.info().labels.empty()) {
    Fail(ErrorCode::kInvalidArgument, "'", model.info().path.string(),
         "' is an encoder without a classification head; fit one with fit-head");
  }
  if (options.batch < 1) {
    Fail(ErrorCode::kInvalidArgument, "batch: expected at least 1, got ", options.batch);
  }
  Predictor predictor(model, on_prediction, options);
  while (const std::optional<DatasetRow> row = next()) {
    ThrowIfCancelled();
    predictor.Add(*row);
  }
  predictor.Flush();
  return predictor.summary();
}

}  // namespace laconic
