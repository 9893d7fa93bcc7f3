#include "laconic/predict.h"

#include <exception>
#include <system_error>
#include <thread>

#include "base/cancel.h"
#include "base/progress.h"
#include "formats/hf/model_name.h"
#include "laconic/error.h"
#include "laconic/metrics.h"
#include "workflows/batches.h"
#include "workflows/encoding_queue.h"

namespace laconic {
namespace {

// Runs texts and hands out what comes of them.
class Predictor {
 public:
  Predictor(const Model& model, const PredictionFn& on_prediction, const RunOptions& options)
      : info_(model.info()),
        on_prediction_(on_prediction),
        options_(options),
        session_(CompiledModel::Compile(model, options.compile), NumThreads(options)) {}

  // Texts of like length run together; predictions come in the texts' order, and are the same in any grouping.
  void Run(const std::vector<Encoding>& texts) {
    const auto num_labels = static_cast<std::int64_t>(info_.labels.size());
    std::vector<float> logits(texts.size() * info_.labels.size());
    std::int64_t done = summary_.num_texts;
    for (const std::vector<std::int64_t>& indices : BatchOrder(texts, options_.batch)) {
      ThrowIfCancelled();
      ScatterRows(session_.Run(TakeTexts(texts, indices)), indices, num_labels, &logits);
      done += static_cast<std::int64_t>(indices.size());
      Report(options_.progress, "predicting", done, 0);
    }
    HandOut(texts, logits);
  }

  const PredictSummary& summary() const noexcept { return summary_; }

 private:
  void HandOut(const std::vector<Encoding>& texts, const std::vector<float>& logits) {
    const auto num_labels = static_cast<std::int64_t>(info_.labels.size());
    const std::vector<std::uint8_t> decisions = Decide(info_.problem, num_labels, logits);
    const std::vector<float> probabilities = Probabilities(info_.problem, num_labels, logits);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      Prediction prediction;
      const std::size_t row = i * info_.labels.size();
      for (std::int64_t label = 0; label < num_labels; ++label) {
        if (decisions[row + static_cast<std::size_t>(label)] != 0) {
          prediction.labels.push_back(label);
        }
      }
      prediction.probabilities = std::span(probabilities).subspan(row, info_.labels.size());
      prediction.truncated = texts[i].truncated;
      summary_.num_truncated += prediction.truncated ? 1 : 0;
      on_prediction_(prediction);
    }
    summary_.num_texts += static_cast<std::int64_t>(texts.size());
  }

  const ModelInfo& info_;
  const PredictionFn& on_prediction_;
  const RunOptions& options_;
  Session session_;
  PredictSummary summary_;
};

// Takes a text; false: no more are wanted.
using EncodingSink = std::function<bool(Encoding)>;

// Reads and tokenizes until there are no more, or an error; then too, `sink` has had all texts before it.
void EncodeRows(const Model& model, const NextRowFn& next, std::int64_t max_length, const EncodingSink& sink) {
  const Tokenizer& tokenizer = model.tokenizer();
  std::int64_t number = 0;
  while (const std::optional<DatasetRow> row = next()) {
    ThrowIfCancelled();
    ++number;
    Encoding encoding = WithFrame([&] { return "text " + std::to_string(number); },
                                  [&] { return EncodeRow(tokenizer, *row, max_length); });
    if (!sink(std::move(encoding))) {
      return;
    }
  }
}

// Returns what `body` throws, or null.
template <typename Body>
std::exception_ptr ErrorOf(const Body& body) {
  try {
    body();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

// Of two errors the one that concerns the earlier text.
void RethrowFirst(const std::exception_ptr& running, const std::exception_ptr& reading) {
  for (const std::exception_ptr& error : {running, reading}) {
    if (error != nullptr) {
      std::rethrow_exception(error);
    }
  }
}

using EncodeFn = std::function<void(const EncodingSink&)>;

// A batch is tokenized, then run.
void RunInTurns(const EncodeFn& encode, std::int64_t batch, Predictor* predictor) {
  std::vector<Encoding> texts;
  std::exception_ptr running;
  const auto run = [&] {
    running = ErrorOf([&] { predictor->Run(texts); });
    texts.clear();
    return running == nullptr;
  };
  const std::exception_ptr reading = ErrorOf([&] {
    encode([&](Encoding encoding) {
      texts.push_back(std::move(encoding));
      return static_cast<std::int64_t>(texts.size()) < batch || run();
    });
  });
  if (running == nullptr) {
    run();
  }
  RethrowFirst(running, reading);
}

template <typename Body>
std::thread StartThread(const Body& body) {
  try {
    return std::thread(body);
  } catch (const std::system_error& error) {
    Fail(ErrorCode::kResource, "cannot start a thread: ", error.what());
  }
}

// Tokenizes on this thread (which Ctrl-C wakes when it waits for input) while another runs the model.
void RunInParallel(const EncodeFn& encode, std::int64_t batch, Predictor* predictor) {
  EncodingQueue queue(batch);
  std::exception_ptr running;
  std::thread runner = StartThread([&] {
    running = ErrorOf([&] {
      for (std::vector<Encoding> texts = queue.TakeAll(); !texts.empty(); texts = queue.TakeAll()) {
        predictor->Run(texts);
      }
    });
    queue.Stop();
  });
  const std::exception_ptr reading =
      ErrorOf([&] { encode([&](Encoding encoding) { return queue.Put(std::move(encoding)); }); });
  queue.Close();
  runner.join();
  RethrowFirst(running, reading);
}

}  // namespace

PredictSummary Predict(const Model& model, const NextRowFn& next, const PredictionFn& on_prediction,
                       const RunOptions& options) {
  CheckHasLabels(model);
  if (options.batch < 1) {
    Fail(ErrorCode::kInvalidArgument, "batch: expected at least 1, got ", options.batch);
  }
  const std::int64_t max_length = MaxLength(model, options);
  const EncodeFn encode = [&](const EncodingSink& sink) { EncodeRows(model, next, max_length, sink); };
  Predictor predictor(model, on_prediction, options);
  (NumThreads(options) == 1 ? RunInTurns : RunInParallel)(encode, options.batch, &predictor);
  return predictor.summary();
}

}  // namespace laconic
