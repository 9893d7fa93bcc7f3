#include "laconic/static_quantization.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <random>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/cancel.h"
#include "base/progress.h"
#include "laconic/error.h"
#include "passes/quantize/int8.h"
#include "passes/quantize/linear_groups.h"
#include "runtime/tap.h"
#include "workflows/calibrated_rounding.h"
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

// Up to kMaxTexts of all texts, each equally likely, in an order that depends on nothing but theirs.
class TextSample {
 public:
  // More texts change nothing (docs/numerics.md), but take time in proportion.
  static constexpr std::size_t kMaxTexts = 512;

  void Add(Encoding text) {
    texts_.emplace(random_(), std::move(text));
    if (texts_.size() > kMaxTexts) {
      texts_.erase(std::prev(texts_.end()));
    }
  }
  std::vector<Encoding> Texts() const {
    std::vector<Encoding> texts;
    std::ranges::transform(texts_, std::back_inserter(texts), [](const auto& text) { return text.second; });
    return texts;
  }

 private:
  std::mt19937_64 random_;
  std::map<std::uint64_t, Encoding> texts_;  // by random key: the lowest stay
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
  Impl(const Model& original, const QuantizeOptions& quantize_options)
      : model(original),
        options(quantize_options),
        layers(SelectedLayers(original, quantize_options)),
        values(InputsOf(model.graph(), layers)),
        sink(values.size()),
        compiled(runtime::CompileTapped(model.graph(), values, &sink)) {}

  bool is_static() const { return options.method == "static"; }
  // Convert needs the texts themselves.
  bool keeps_texts() const {
    const CalibratedOptions& calibrated = options.calibrated;
    return !is_static() || calibrated.smooth_quant != SmoothQuant::kOff || calibrated.gptq ||
           calibrated.bias_correction || calibrated.mse_weight_range;
  }

  Model model;
  QuantizeOptions options;
  std::set<std::string> layers;
  std::vector<std::string> values;  // observed
  MinMaxSink sink;
  std::shared_ptr<const CompiledModel> compiled;
  std::int64_t num_texts = 0;
  TextSample texts;
  int threads = 1;  // of the last Calibrate
};

namespace {

RoundingOptions RoundingOf(const PreparedModel::Impl& impl) {
  const CalibratedOptions& calibrated = impl.options.calibrated;
  RoundingOptions rounding;
  rounding.dynamic = !impl.is_static();
  rounding.smooth = calibrated.smooth_quant != SmoothQuant::kOff;
  if (calibrated.smooth_quant == SmoothQuant::kFixed) {
    rounding.alpha = static_cast<float>(calibrated.smooth_alpha);
  }
  rounding.gptq = calibrated.gptq;
  rounding.bias_correction = calibrated.bias_correction;
  rounding.mse_range = calibrated.mse_weight_range;
  rounding.weights.reduced = impl.options.reduced_range;
  rounding.threads = impl.threads;
  return rounding;
}

void CheckOptions(const QuantizeOptions& options) {
  const CalibratedOptions& calibrated = options.calibrated;
  if (options.method != "static" && options.method != "dynamic") {
    Fail(ErrorCode::kInvalidArgument, "calibration is for methods static and dynamic, got '", options.method, "'");
  }
  const bool is_alpha = calibrated.smooth_alpha > 0 && calibrated.smooth_alpha <= 1;
  if (calibrated.smooth_quant == SmoothQuant::kFixed && !is_alpha) {
    Fail(ErrorCode::kInvalidArgument, "SmoothQuant's alpha: expected above 0 and at most 1, got ",
         calibrated.smooth_alpha);
  }
  if (calibrated.embedding_block < 0) {
    Fail(ErrorCode::kInvalidArgument, "embedding block: expected at least 0, got ", calibrated.embedding_block);
  }
}

}  // namespace

PreparedModel::PreparedModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PreparedModel::~PreparedModel() = default;
PreparedModel::PreparedModel(PreparedModel&&) noexcept = default;
PreparedModel& PreparedModel::operator=(PreparedModel&&) noexcept = default;

PreparedModel Prepare(const Model& model, const QuantizeOptions& options) {
  CheckOptions(options);
  return PreparedModel(std::make_unique<PreparedModel::Impl>(model, options));
}

std::int64_t Calibrate(PreparedModel* prepared, const NextRowFn& next, const RunOptions& options) {
  PreparedModel::Impl& impl = prepared->impl();
  const std::int64_t max_length = MaxLength(impl.model, options);
  impl.threads = NumThreads(options);
  Session session(impl.compiled, impl.threads);
  std::vector<Encoding> batch;
  std::int64_t num_texts = 0;
  const auto flush = [&] {
    if (impl.keeps_texts()) {
      std::ranges::for_each(batch, [&](const Encoding& text) { impl.texts.Add(text); });
    } else {
      session.Run(batch);
    }
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

namespace {

nlohmann::json RecipeOf(const PreparedModel::Impl& impl) {
  const CalibratedOptions& options = impl.options.calibrated;
  const bool fixed = options.smooth_quant == SmoothQuant::kFixed;
  nlohmann::json recipe = {{"layers", impl.layers},
                           {"calibration_texts", impl.num_texts},
                           {"smooth_quant", fixed ? nlohmann::json(options.smooth_alpha)
                                            : options.smooth_quant == SmoothQuant::kAuto ? nlohmann::json("auto")
                                                                                         : nlohmann::json("off")},
                           {"gptq", options.gptq},
                           {"bias_correction", options.bias_correction},
                           {"weight_range", options.mse_weight_range ? "mse" : "absmax"},
                           {"embedding_block", options.embedding_block}};
  if (!impl.options.reduced_range.empty()) {
    recipe["reduced_range"] = impl.options.reduced_range;
  }
  return recipe;
}

}  // namespace

Model Convert(const PreparedModel& prepared, const ProgressFn& progress) {
  const PreparedModel::Impl& impl = prepared.impl();
  if (impl.num_texts == 0) {
    Fail(ErrorCode::kInvalidArgument, "nothing was observed; calibrate with at least one text");
  }
  passes::ActivationConfig activations = {
      impl.is_static() ? passes::Activations::kStatic : passes::Activations::kPerToken, {}};
  passes::Int8Options int8 = {.weights = {}, .embedding_block = impl.options.calibrated.embedding_block};
  int8.weights.reduced = impl.options.reduced_range;
  passes::CalibratedRounding rounding;
  if (impl.keeps_texts()) {
    rounding = RoundLinears(impl.model.graph(), impl.layers, impl.texts.Texts(), RoundingOf(impl), progress,
                            &activations.ranges);
    int8.rounding = &rounding;
  } else {
    for (std::size_t i = 0; i < impl.values.size(); ++i) {
      const MinMaxSink::Range& range = impl.sink.ranges()[i];
      activations.ranges.emplace(impl.values[i], quant::AffineParams(range.lo, range.hi, DType::kU8));
    }
  }
  Graph graph = passes::QuantizeInt8(impl.model.graph(), impl.layers, activations, int8, progress);
  return QuantizedModel(impl.model, impl.options.method, RecipeOf(impl), std::move(graph));
}

}  // namespace laconic
