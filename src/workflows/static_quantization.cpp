#include "laconic/static_quantization.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <vector>

#include "base/cancel.h"
#include "base/progress.h"
#include "laconic/error.h"
#include "passes/quantize/int8.h"
#include "passes/quantize/linear_groups.h"
#include "runtime/tap.h"
#include "workflows/quantized_model.h"
#include "workflows/run_options.h"

namespace laconic {
namespace {

// The least and largest element of each tapped value.
class MinMaxSink final : public runtime::TapSink {
 public:
  struct Range {
    float lo = 0;
    float hi = 0;
    bool is_finite = true;
  };
  explicit MinMaxSink(std::size_t num_values) : ranges_(num_values) {}

  void TakeRows(const runtime::TapRows& rows) noexcept override {
    Range range;
    for (std::int64_t row = 0; row < rows.num_rows; ++row) {
      for (const float value : std::span(rows.data + row * rows.stride, static_cast<std::size_t>(rows.width))) {
        range.lo = std::min(range.lo, value);
        range.hi = std::max(range.hi, value);
        range.is_finite = range.is_finite && std::isfinite(value);
      }
    }
    const std::lock_guard lock(mutex_);
    Range& all = ranges_[rows.value];
    all = {std::min(all.lo, range.lo), std::max(all.hi, range.hi), all.is_finite && range.is_finite};
  }

  const std::vector<Range>& ranges() const noexcept { return ranges_; }

 private:
  std::mutex mutex_;
  std::vector<Range> ranges_;
};

// What the linear layers among `layers` read, each once.
std::vector<std::string> InputsOf(const Graph& graph, const std::set<std::string>& layers) {
  std::vector<std::string> names;
  for (const passes::LinearGroup& group : passes::GroupLinears(graph, layers)) {
    std::ranges::transform(group.inputs, std::back_inserter(names),
                           [&](ValueId input) { return graph.value(input).name; });
  }
  return names;
}

}  // namespace

struct PreparedModel::Impl {
  Impl(const Model& original, std::set<std::string> selected)
      : model(original),
        layers(std::move(selected)),
        values(InputsOf(model.graph(), layers)),
        sink(values.size()),
        compiled(runtime::CompileTapped(model.graph(), values, &sink)) {}

  Model model;
  std::set<std::string> layers;
  std::vector<std::string> values;  // observed
  MinMaxSink sink;
  std::shared_ptr<const CompiledModel> compiled;
  std::int64_t num_texts = 0;
};

PreparedModel::PreparedModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PreparedModel::~PreparedModel() = default;
PreparedModel::PreparedModel(PreparedModel&&) noexcept = default;
PreparedModel& PreparedModel::operator=(PreparedModel&&) noexcept = default;

PreparedModel Prepare(const Model& model, const QuantizeOptions& options) {
  return PreparedModel(std::make_unique<PreparedModel::Impl>(model, SelectedLayers(model, options)));
}

std::int64_t Calibrate(PreparedModel* prepared, const NextRowFn& next, const RunOptions& options) {
  PreparedModel::Impl& impl = prepared->impl();
  const std::int64_t max_length = MaxLength(impl.model, options);
  Session session(impl.compiled, NumThreads(options));
  std::vector<Encoding> batch;
  std::int64_t num_texts = 0;
  const auto flush = [&] {
    session.Run(batch);
    num_texts += static_cast<std::int64_t>(batch.size());
    batch.clear();
    Report(options.progress, "calibrating", num_texts, 0);
  };
  while (const std::optional<DatasetRow> row = next()) {
    ThrowIfCancelled();
    const Tokenizer& tokenizer = impl.model.tokenizer();
    batch.push_back(row->second_text ? tokenizer.EncodePair(row->text, *row->second_text, max_length)
                                     : tokenizer.Encode(row->text, max_length));
    if (static_cast<std::int64_t>(batch.size()) >= options.batch) {
      flush();
    }
  }
  flush();
  for (std::size_t i = 0; i < impl.values.size(); ++i) {
    if (!impl.sink.ranges()[i].is_finite) {
      Fail(ErrorCode::kInvalidArgument, "'", impl.values[i], "' is not finite on these texts");
    }
  }
  impl.num_texts += num_texts;
  return num_texts;
}

Model Convert(const PreparedModel& prepared, const ProgressFn& progress) {
  const PreparedModel::Impl& impl = prepared.impl();
  if (impl.num_texts == 0) {
    Fail(ErrorCode::kInvalidArgument, "nothing was observed; calibrate with at least one text");
  }
  passes::ActivationConfig activations = {passes::Activations::kStatic, {}};
  for (std::size_t i = 0; i < impl.values.size(); ++i) {
    const MinMaxSink::Range& range = impl.sink.ranges()[i];
    activations.ranges.emplace(impl.values[i], quant::AffineParams(range.lo, range.hi, DType::kU8));
  }
  Graph graph = passes::QuantizeInt8(impl.model.graph(), impl.layers, activations, {}, progress);
  return QuantizedModel(impl.model, "static", impl.layers, std::move(graph));
}

}  // namespace laconic
