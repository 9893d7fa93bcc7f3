#include "laconic/static_quantization.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/cancel.h"
#include "base/progress.h"
#include "laconic/error.h"
#include "workflows/batches.h"
#include "workflows/calibration_table.h"
#include "workflows/quantized_model.h"
#include "workflows/text_digest.h"

namespace laconic {
namespace {

// Up to kMaxTexts of all texts, each equally likely, in an order that depends on nothing but theirs.
class TextSample {
 public:
  // More texts change nothing (docs/numerics.md), but take time in proportion.
  static constexpr std::size_t kMaxTexts = 512;

  // `encode` makes the text, if it is taken.
  template <typename Encode>
  void Add(const Encode& encode) {
    const std::uint64_t key = random_();
    if (texts_.size() == kMaxTexts && key > std::prev(texts_.end())->first) {
      return;
    }
    texts_.emplace(key, encode());
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

}  // namespace

struct PreparedModel::Impl {
  Impl(const Model& original, const QuantizeOptions& quantize_options)
      : model(original),
        options(quantize_options),
        qconfig(FindQConfig(options, true)),
        layers(SelectedLayers(original, options, qconfig)),
        table(options.table) {
    if (table) {
      RangesFrom(*table, model.graph(), layers, qconfig);  // refuses a table of something else
    }
  }

  bool is_static() const { return options.method == "static"; }
  // Calibrate makes the table.
  bool observes() const { return is_static() && !options.table; }

  Model model;
  QuantizeOptions options;
  QConfig qconfig;
  std::set<std::string> layers;
  std::optional<CalibrationTable> table;
  std::int64_t num_texts = 0;
  TextSample texts;
  TextDigest digest;  // of all that Calibrate took
  int threads = 1;    // of the last Calibrate
};

PreparedModel::PreparedModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PreparedModel::~PreparedModel() = default;
PreparedModel::PreparedModel(PreparedModel&&) noexcept = default;
PreparedModel& PreparedModel::operator=(PreparedModel&&) noexcept = default;

PreparedModel Prepare(const Model& model, const QuantizeOptions& options) {
  if (options.method != "static" && options.method != "dynamic") {
    Fail(ErrorCode::kInvalidArgument, "calibration is for methods static and dynamic, got '", options.method, "'");
  }
  return PreparedModel(std::make_unique<PreparedModel::Impl>(model, options));
}

std::int64_t Calibrate(PreparedModel* prepared, const NextRowFn& next, const RunOptions& options) {
  PreparedModel::Impl& impl = prepared->impl();
  const std::int64_t max_length = MaxLength(impl.model, options);
  impl.threads = NumThreads(options);
  std::int64_t num_texts = 0;
  const auto sampled = [&] {
    std::optional<DatasetRow> row = next();
    if (row && RoundsByTexts(impl.qconfig)) {
      impl.texts.Add([&] { return EncodeRow(impl.model.tokenizer(), *row, max_length); });
    }
    if (row) {
      impl.digest.Add(*row);
      ++num_texts;
    }
    return row;
  };
  if (impl.observes()) {
    CalibrationTable table = ObserveLayers(impl.model, impl.layers, sampled, {.qconfig = impl.qconfig, .run = options});
    impl.table = impl.table ? CalibrationTable::Merge({*impl.table, table}) : table;
  } else {
    while (sampled()) {
      ThrowIfCancelled();
      Report(options.progress, "calibrating", num_texts, 0);
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
  nlohmann::json recipe = RecipeOf(impl.options, impl.qconfig, impl.layers);
  recipe["calibration_texts"] = impl.num_texts;
  recipe["calibration_sha256"] = impl.digest.value();
  if (impl.options.calibration_rows > 0) {
    recipe["calibration_rows"] = impl.options.calibration_rows;
  }
  Graph graph =
      QuantizeGraph(impl.model.graph(), impl.layers, WithReducedRange(impl.qconfig, impl.options.reduced_range),
                    impl.table ? &*impl.table : nullptr, impl.texts.Texts(), impl.threads, progress);
  return QuantizedModel(impl.model, impl.options.method, recipe, std::move(graph));
}

}  // namespace laconic
