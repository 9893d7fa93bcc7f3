#include "laconic/calibrate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <mutex>
#include <set>

#include "base/cancel.h"
#include "base/file.h"
#include "base/progress.h"
#include "laconic/error.h"
#include "passes/layer_selection.h"
#include "runtime/tap.h"
#include "workflows/batches.h"
#include "workflows/calibration_table.h"
#include "workflows/quantized_model.h"
#include "workflows/text_digest.h"

namespace laconic {
namespace {

using Data = CalibrationTable::Data;

bool IsFinite(std::span<const float> row) {
  return std::ranges::all_of(row, [](float value) { return std::isfinite(value); });
}

// Feeds the rows of each value to its observer. A batch of values whose observers count in bins of the batch's own is
// run twice: for the extremes, and for the counts.
class ObservingSink final : public runtime::TapSink {
 public:
  // `values`: in the order of the tap. Both must outlive the sink.
  ObservingSink(std::vector<std::string> names, std::map<std::string, ObservedValue>* values) {
    for (std::string& name : names) {
      ObservedValue* value = &values->at(name);
      states_.emplace_back().name = std::move(name);
      states_.back().value = value;
      has_ordered_ = has_ordered_ || std::holds_alternative<OrderedValue>(*value);
    }
  }

  bool has_ordered() const noexcept { return has_ordered_; }

  // One batch, whose texts have these numbers in their source.
  void Run(Session* session, std::span<const Encoding> batch, const std::vector<std::int64_t>& numbers) {
    numbers_ = &numbers;
    is_counting_ = false;
    session->Run(batch);
    bool counts = false;
    for (State& state : states_) {
      if (const auto* ordered = std::get_if<OrderedValue>(state.value)) {
        WithFrame([&] { return "value '" + state.name + "'"; },
                  [&] { state.binning = ordered->observer->BinningFor(state.extremes); });
        state.counts.assign(state.binning ? state.binning->num_bins() : 0, 0);
        counts = counts || state.binning.has_value();
      }
    }
    is_counting_ = true;
    if (counts) {
      session->Run(batch);
    }
    for (State& state : states_) {
      if (const auto* ordered = std::get_if<OrderedValue>(state.value)) {
        ordered->observer->Update(state.extremes, state.counts);
        state.extremes = {};
      }
    }
  }

  void BeginBatch(const runtime::TapBatch& batch) override { starts_.assign(batch.starts.begin(), batch.starts.end()); }

  void TakeRows(const runtime::TapRows& rows) noexcept override {
    State& state = states_[rows.value];
    try {
      if (std::holds_alternative<OrderedValue>(*state.value)) {
        is_counting_ ? Count(rows, &state) : FindExtremes(rows, &state);
      } else if (!is_counting_) {
        AddStatistics(rows, &state);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
  }

  void EndBatch() override {
    if (failure_) {
      std::rethrow_exception(failure_);
    }
    for (const State& state : states_) {
      if (state.bad_text) {
        Fail(ErrorCode::kInvalidArgument, "'", state.name, "' is not finite on text ",
             (*numbers_)[static_cast<std::size_t>(*state.bad_text)] + 1);
      }
    }
  }

 private:
  struct State {
    std::string name;
    ObservedValue* value = nullptr;
    quant::BatchExtremes extremes;
    std::optional<quant::Binning> binning;
    std::vector<std::int64_t> counts;
    std::optional<std::int64_t> bad_text;  // the first of the batch where the value is not finite
  };

  // A row at a time would cost a lock each; so a piece is gathered apart and merged.
  void AddStatistics(const runtime::TapRows& rows, State* state) {
    quant::TensorStatistics piece(rows.width);
    if (piece.Add(rows.data, rows.num_rows, rows.stride) > 0) {
      NoteBadText(rows, state);
      return;
    }
    const std::lock_guard lock(mutex_);
    auto& all = std::get<quant::TensorStatistics>(*state->value);
    if (all.width() == 0) {
      all = std::move(piece);
    } else {
      all.Merge(piece);
    }
  }

  void FindExtremes(const runtime::TapRows& rows, State* state) {
    quant::BatchExtremes piece;
    bool is_finite = true;
    ForEachRow(rows, [&](std::span<const float> row) {
      is_finite = is_finite && IsFinite(row);
      piece.Add(row);
    });
    if (!is_finite) {
      NoteBadText(rows, state);
      return;
    }
    const std::lock_guard lock(mutex_);
    state->extremes.Merge(piece);
  }

  void Count(const runtime::TapRows& rows, State* state) {
    if (!state->binning) {
      return;
    }
    std::vector<std::int64_t> piece(state->counts.size());
    ForEachRow(rows, [&](std::span<const float> row) { state->binning->Count(row, piece); });
    const std::lock_guard lock(mutex_);
    std::ranges::transform(piece, state->counts, state->counts.begin(), std::plus());
  }

  template <typename Body>
  static void ForEachRow(const runtime::TapRows& rows, const Body& body) {
    for (std::int64_t i = 0; i < rows.num_rows; ++i) {
      body(std::span(rows.data + i * rows.stride, static_cast<std::size_t>(rows.width)));
    }
  }

  void NoteBadText(const runtime::TapRows& rows, State* state) {
    std::int64_t at = rows.first_row;
    bool found = false;
    ForEachRow(rows, [&](std::span<const float> row) {
      found = found || !IsFinite(row);
      at += found ? 0 : 1;
    });
    const std::int64_t text =
        rows.rows == runtime::Rows::kTexts ? at : std::ranges::upper_bound(starts_, at) - starts_.begin() - 1;
    const std::lock_guard lock(mutex_);
    state->bad_text = std::min(state->bad_text.value_or(text), text);
  }

  std::vector<State> states_;
  bool has_ordered_ = false;
  bool is_counting_ = false;
  std::vector<std::int64_t> starts_;
  const std::vector<std::int64_t>* numbers_ = nullptr;
  std::mutex mutex_;
  std::exception_ptr failure_;
};

class Calibration {
 public:
  Calibration(const Model& model, const std::set<std::string>& layers, const NextRowFn& next,
              const CalibrateOptions& options)
      : model_(model),
        layers_(layers),
        next_(next),
        options_(options),
        max_length_(MaxLength(model, options.run)),
        table_(NewTable()),
        sink_(Names(), &table_.values),
        session_(runtime::CompileTapped(model.graph(), Names(), &sink_), NumThreads(options.run)) {}

  CalibrationTable Run() {
    Resume();
    try {
      while (RunChunk()) {
        if (std::chrono::steady_clock::now() - saved_ > std::chrono::seconds(30)) {
          Save();
        }
      }
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled && !is_within_chunk_) {
        Save();
      }
      throw;
    }
    if (table_.parts[0].num_texts == 0) {
      Fail(ErrorCode::kInvalidArgument, "no text to calibrate with: shard ", options_.shard, "/", options_.num_shards,
           " of ", *table_.rows, " texts");
    }
    table_.parts[0].data = digest_.value();
    table_.rows.reset();
    return CalibrationTable(std::make_shared<const Data>(std::move(table_)));
  }

 private:
  Data NewTable() const {
    if (options_.shard < 0 || options_.shard >= options_.num_shards) {
      Fail(ErrorCode::kInvalidArgument, "expected a shard from 0 to ", options_.num_shards - 1, ", got ",
           options_.shard);
    }
    Data table = {.model = DigestOf(model_.graph()),
                  .max_length = max_length_,
                  .parts = {{"", options_.shard, options_.num_shards, 0}},
                  .rows = 0};
    for (const auto& [name, readers] : ObservedInputs(model_.graph(), layers_, options_.qconfig)) {
      table.values.emplace(name, NewValue(options_.qconfig.OfLayer(readers[0]).activations));
      if (std::holds_alternative<OrderedValue>(table.values.at(name))) {
        table.batch = options_.run.batch;
      }
    }
    if (table.values.empty()) {
      Fail(ErrorCode::kInvalidArgument, "the QConfig leaves every selected layer in float");
    }
    return table;
  }

  ObservedValue NewValue(const TensorQConfig& config) const {
    if (!DependsOnOrder(config.observer.kind)) {
      return quant::TensorStatistics();
    }
    if (options_.num_shards > 1) {
      Fail(ErrorCode::kInvalidArgument,
           "this QConfig's observer depends on the order of the texts, so they cannot be sharded; expected minmax, "
           "percentile, entropy or mse");
    }
    return OrderedValue{config.observer, config.scheme, quant::MakeOrderedObserver(config.observer, config.scheme)};
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    std::ranges::transform(table_.values, std::back_inserter(names), [](const auto& entry) { return entry.first; });
    return names;
  }

  // Goes on from the checkpoint, if there is one.
  void Resume() {
    if (options_.checkpoint.empty() || !Exists(options_.checkpoint)) {
      return;
    }
    WithFrame([&] { return "interrupted calibration '" + options_.checkpoint.string() + "'"; },
              [&] { Adopt(ParseTable(ReadTableFile(options_.checkpoint))); });
  }

  void Adopt(Data saved) {
    const auto kind_of = [](const ObservedValue& value) {
      const auto* ordered = std::get_if<OrderedValue>(&value);
      return ordered == nullptr ? std::pair(ObserverConfig(), Scheme::kAffine)
                                : std::pair(ordered->config, ordered->scheme);
    };
    const auto same_value = [&](const auto& a, const auto& b) {
      return a.first == b.first && kind_of(a.second) == kind_of(b.second);
    };
    bool same = saved.rows && saved.model == table_.model && saved.max_length == table_.max_length &&
                saved.batch == table_.batch && saved.parts.size() == 1 && saved.parts[0].shard == options_.shard &&
                saved.parts[0].num_shards == options_.num_shards &&
                std::ranges::equal(saved.values, table_.values, same_value);
    for (std::int64_t i = 0; same && i < *saved.rows; ++i) {
      ThrowIfCancelled();
      const std::optional<DatasetRow> row = next_();
      same = row.has_value();
      if (same) {
        digest_.Add(*row);
      }
    }
    if (!same || digest_.value() != saved.parts[0].data) {
      Fail(ErrorCode::kInvalidArgument,
           "expected one of this model, these texts and these settings; to start anew, remove '",
           options_.checkpoint.string(), "' or give --force");
    }
    for (auto& [name, value] : saved.values) {
      table_.values.at(name) = std::move(value);
    }
    table_.parts = std::move(saved.parts);
    table_.rows = saved.rows;
    saved_digest_ = digest_;
  }

  void Save() {
    if (options_.checkpoint.empty() || table_.parts[0].num_texts == 0) {
      return;
    }
    table_.parts[0].data = saved_digest_.value();
    AtomicFile file(options_.checkpoint, true);
    file.Write(PrintTable(table_));
    file.Commit();
    saved_ = std::chrono::steady_clock::now();
  }

  // Reads and runs some texts; false after the last. Only between chunks is the table what it says it is, so a chunk
  // is read whole before it runs. Then only a model that runs op by op is interrupted.
  bool RunChunk() {
    constexpr std::int64_t kBatches = 8;  // to choose texts of like length from
    const std::int64_t size =
        sink_.has_ordered() ? options_.run.batch : std::min(options_.run.batch, INT64_MAX / kBatches) * kBatches;
    const Tokenizer& tokenizer = model_.tokenizer();
    std::vector<Encoding> texts;
    std::vector<std::int64_t> numbers;
    std::int64_t rows = *table_.rows;
    bool more = true;
    while (more && static_cast<std::int64_t>(texts.size()) < size) {
      ThrowIfCancelled();
      const std::optional<DatasetRow> row = next_();
      more = row.has_value();
      if (more) {
        digest_.Add(*row);
        if (rows % options_.num_shards == options_.shard) {
          texts.push_back(EncodeRow(tokenizer, *row, max_length_));
          numbers.push_back(rows);
        }
        ++rows;
      }
    }
    is_within_chunk_ = true;
    for (const std::vector<std::int64_t>& batch : BatchOrder(texts, options_.run.batch)) {
      std::vector<std::int64_t> batch_numbers;
      std::ranges::transform(batch, std::back_inserter(batch_numbers),
                             [&](std::int64_t index) { return numbers[static_cast<std::size_t>(index)]; });
      sink_.Run(&session_, TakeTexts(texts, batch), batch_numbers);
    }
    table_.rows = rows;
    table_.parts[0].num_texts += static_cast<std::int64_t>(texts.size());
    saved_digest_ = digest_;
    is_within_chunk_ = false;
    Report(options_.run.progress, "calibrating", table_.parts[0].num_texts, 0);
    return more;
  }

  const Model& model_;
  const std::set<std::string>& layers_;
  const NextRowFn& next_;
  const CalibrateOptions& options_;
  std::int64_t max_length_;
  Data table_;
  ObservingSink sink_;
  Session session_;
  TextDigest digest_;        // of the texts read
  TextDigest saved_digest_;  // of those that the table holds
  bool is_within_chunk_ = false;
  std::chrono::steady_clock::time_point saved_ = std::chrono::steady_clock::now();
};

}  // namespace

CalibrationTable ObserveLayers(const Model& model, const std::set<std::string>& layers, const NextRowFn& next,
                               const CalibrateOptions& options) {
  return Calibration(model, layers, next, options).Run();
}

CalibrationTable MakeCalibrationTable(const Model& model, const NextRowFn& next, const CalibrateOptions& options) {
  CheckQConfig(options.qconfig);
  const QuantizeOptions selection = {.kinds = {"linear"}, .include = options.include, .exclude = options.exclude};
  return ObserveLayers(model, SelectedLayers(model, selection, options.qconfig), next, options);
}

}  // namespace laconic
