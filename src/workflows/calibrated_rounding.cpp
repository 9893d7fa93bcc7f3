#include "workflows/calibrated_rounding.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "laconic/error.h"
#include "passes/quantize/int8_weights.h"
#include "passes/quantize/linear_groups.h"
#include "quant/activations.h"
#include "quant/column_stats.h"
#include "quant/gptq.h"
#include "quant/smooth.h"
#include "workflows/calibration_table.h"
#include "workflows/gathered_rows.h"

namespace laconic {
namespace {

using passes::LinearGroup;
using quant::MatrixView;

constexpr std::int64_t kBatchTokens = 256;

// One input of a group.
struct Input {
  ValueId value = kNoValue;
  quant::ColumnRange range;
  quant::RowSample sample;
  quant::ActivationQuantizer quantizer;
};

// What is known of a group while the texts run.
struct Group {
  const LinearGroup* linears = nullptr;
  std::vector<Input> inputs;
  quant::ColumnMean mean_x, mean_xq;
  std::optional<quant::Hessian> hessian;
  std::vector<float> smooth;  // empty: none
};

class Rounder {
 public:
  Rounder(const Graph& graph, const std::set<std::string>& layers, std::span<const Encoding> texts,
          const RoundingOptions& options, const ProgressFn& progress, std::map<std::string, quant::QuantParams>* ranges)
      : graph_(graph),
        texts_(texts),
        options_(options),
        qconfig_(options.qconfig),
        progress_(progress),
        ranges_(*ranges),
        readers_(ObservedInputs(graph, layers, options.qconfig)),
        pool_(options.threads) {}

  passes::CalibratedRounding Run(const std::vector<LinearGroup>& groups) {
    for (std::size_t begin = 0; begin < groups.size();) {
      std::int64_t bytes = BytesFor(groups[begin]);
      std::size_t end = begin + 1;
      for (; end < groups.size() && bytes + BytesFor(groups[end]) <= options_.memory_bytes; ++end) {
        bytes += BytesFor(groups[end]);
      }
      Start(std::span(groups).subspan(begin, end - begin));
      if (chooses_alpha() || (smooths() && !is_static())) {
        RunTexts("observing", [&](Group&, Input& input, const MatrixView& rows) {
          if (!is_static()) {
            input.range.Add(rows);
          }
          input.sample.Add(rows);
        });
      }
      ForEachGroup(&Rounder::Smooth);
      if (qconfig_.gptq || qconfig_.bias_correction) {
        RunTexts("rounding", [&](Group& group, Input& input, const MatrixView& rows) { Measure(&group, input, rows); });
      }
      ForEachGroup(&Rounder::Round);
      begin = end;
    }
    return std::move(out_);
  }

 private:
  bool is_static() const { return options_.table != nullptr; }
  bool smooths() const { return qconfig_.smooth_quant != SmoothQuant::kOff; }
  bool chooses_alpha() const { return qconfig_.smooth_quant == SmoothQuant::kAuto; }

  std::int64_t SampleRows(const LinearGroup& group) const {
    return chooses_alpha() ? quant::kSmoothSampleRows / static_cast<std::int64_t>(group.inputs.size()) : 0;
  }

  std::int64_t BytesFor(const LinearGroup& group) const {
    const auto inputs = static_cast<std::int64_t>(group.inputs.size());
    return inputs * (SampleRows(group) + 2 * kBatchTokens) * group.width * static_cast<std::int64_t>(sizeof(float)) +
           (qconfig_.gptq ? quant::Hessian::BytesFor(group.width) : 0);
  }

  void Start(std::span<const LinearGroup> linears) {
    groups_.clear();
    for (const LinearGroup& group : linears) {
      Group& added = groups_.emplace_back(
          Group{&group, {}, quant::ColumnMean(group.width), quant::ColumnMean(group.width), {}, {}});
      for (const ValueId value : group.inputs) {
        added.inputs.push_back(
            {value, quant::ColumnRange(group.width), quant::RowSample(group.width, SampleRows(group)), {}});
        if (is_static() && smooths()) {
          added.inputs.back().range = ColumnRangeFrom(*options_.table, graph_.value(value).name, group.width);
        }
      }
      if (qconfig_.gptq) {
        added.hessian.emplace(group.width);
      }
    }
  }

  void ForEachGroup(void (Rounder::*act)(Group*)) {
    for (Group& group : groups_) {
      ThrowIfCancelled();
      WithFrame([&] { return "the layers from '" + group.linears->layers[0] + "'"; }, [&] { (this->*act)(&group); });
    }
  }

  // One run of the model: `take` gets the rows of each input of each group.
  void RunTexts(const char* what, const std::function<void(Group&, Input&, const MatrixView&)>& take) {
    std::vector<std::pair<Group*, Input*>> owners;
    std::vector<std::string> names;
    for (Group& group : groups_) {
      for (Input& input : group.inputs) {
        owners.emplace_back(&group, &input);
        names.push_back(graph_.value(input.value).name);
      }
    }
    RowGatherer gatherer(graph_, names, options_.threads);
    for (std::size_t begin = 0; begin < texts_.size();) {
      ThrowIfCancelled();
      std::size_t end = begin + 1;
      auto tokens = static_cast<std::int64_t>(texts_[begin].ids.size());
      while (end < texts_.size() && tokens + static_cast<std::int64_t>(texts_[end].ids.size()) <= kBatchTokens) {
        tokens += static_cast<std::int64_t>(texts_[end++].ids.size());
      }
      gatherer.Run(texts_.subspan(begin, end - begin));
      for (std::size_t i = 0; i < owners.size(); ++i) {
        WithFrame([&] { return "value '" + names[i] + "'"; },
                  [&] { take(*owners[i].first, *owners[i].second, gatherer.rows(i)); });
      }
      begin = end;
      Report(progress_, what, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(texts_.size()));
    }
  }

  // One for a group, whose weights share the choice: the first layer's, in 7 bits if any layer's are.
  LayerQConfig ConfigOf(const LinearGroup& group) const {
    LayerQConfig config = qconfig_.OfLayer(group.layers[0]);
    for (const std::string& layer : group.layers) {
      const TensorQConfig& weights = qconfig_.OfLayer(layer).weights;
      config.weights = weights.range == CodeRange::kReduced ? weights : config.weights;
    }
    return config;
  }

  // Rows of a weight are output channels.
  Tensor Weight(ValueId weight) const { return graph_.FindInitializer(weight)->Transposed().Contiguous(); }

  void Smooth(Group* group) {
    quant::ColumnRange range(group->linears->width);
    std::vector<float> sample;
    for (const Input& input : group->inputs) {
      range.Add(input.range);
      const std::vector<float> rows = input.sample.Rows();
      sample.insert(sample.end(), rows.begin(), rows.end());
    }
    if (smooths()) {
      const auto alpha = static_cast<float>(qconfig_.smooth_alpha);
      const std::span<const float> alphas = chooses_alpha() ? std::span(quant::kSmoothAlphas) : std::span(&alpha, 1);
      std::vector<Tensor> weights;
      std::vector<MatrixView> views;
      for (const ValueId weight : group->linears->weights) {
        weights.push_back(Weight(weight));
        views.push_back({weights.back().data_as<float>(), weights.back().shape()[0], weights.back().shape()[1]});
      }
      const std::int64_t width = group->linears->width;
      const MatrixView rows = {sample.data(), static_cast<std::int64_t>(sample.size()) / width, width};
      quant::SmoothChoice choice = quant::ChooseSmoothing({range.min(), range.max(), views}, rows, !is_static(),
                                                          ConfigOf(*group->linears), alphas, &pool_);
      if (choice.alpha > 0) {
        group->smooth = std::move(choice.smooth);
      }
    }
    for (Input& input : group->inputs) {
      input.quantizer.inv_smooth = quant::Reciprocals(group->smooth);
      if (is_static()) {
        const std::string& name = graph_.value(input.value).name;
        const TensorQConfig& activations = qconfig_.OfLayer(readers_.at(name)[0]).activations;
        input.quantizer.fixed = ParamsFrom(*options_.table, name, activations, input.quantizer.inv_smooth);
        ranges_[name] = *input.quantizer.fixed;
      }
      if (!group->smooth.empty()) {
        out_.inv_smooth[input.value] = Tensor::FromValues<float>({group->linears->width}, input.quantizer.inv_smooth);
      }
    }
  }

  void Measure(Group* group, const Input& input, const MatrixView& rows) {
    quantized_.resize(static_cast<std::size_t>(rows.size()));
    quant::FakeQuantizeRows(rows, input.quantizer, quantized_.data());
    const MatrixView quantized = {quantized_.data(), rows.rows, rows.cols};
    group->mean_x.Add(rows);
    group->mean_xq.Add(quantized);
    if (group->hessian) {
      group->hessian->Add(quantized, &pool_);
    }
  }

  void Round(Group* group) {
    std::optional<quant::GptqFactor> factor;
    if (group->hessian) {
      factor = quant::MakeGptqFactor(group->hessian->Mean(&pool_), group->linears->width, quant::kGptqDamping, &pool_);
      group->hessian.reset();
    }
    for (const ValueId weight : group->linears->weights) {
      WithFrame([&] { return "tensor '" + graph_.value(weight).name + "'"; },
                [&] { out_.linears[weight] = RoundWeight(*group, weight, factor ? &*factor : nullptr); });
    }
  }

  passes::LinearRounding RoundWeight(const Group& group, ValueId id, const quant::GptqFactor* factor) {
    const Tensor weight = Weight(id);
    const std::int64_t rows = weight.shape()[0];
    const std::int64_t cols = weight.shape()[1];
    std::vector<float> smoothed(weight.values<float>().begin(), weight.values<float>().end());
    for (std::size_t i = 0; i < smoothed.size() && !group.smooth.empty(); ++i) {
      smoothed[i] *= group.smooth[i % static_cast<std::size_t>(cols)];
    }
    const MatrixView view = {smoothed.data(), rows, cols};
    const TensorQConfig& config = qconfig_.OfLayer(passes::LayerName(graph_, id)).weights;
    const quant::Codes limits = quant::WeightCodes(config);
    const std::vector<float> scales = quant::WeightScales(view, config);
    std::vector<std::int8_t> codes(smoothed.size());
    if (factor != nullptr) {
      quant::GptqRows(view, *factor, scales, limits, codes, &pool_);
    } else {
      for (std::int64_t i = 0; i < rows; ++i) {
        quant::RoundRow(view.row(i), scales[static_cast<std::size_t>(i)], limits,
                        std::span(codes).subspan(static_cast<std::size_t>(i * cols), static_cast<std::size_t>(cols)));
      }
    }
    passes::LinearRounding out;
    out.codes = Tensor::FromValues<std::int8_t>({rows, cols}, codes).Transposed();
    out.scale = passes::ScaleTensor(scales, config);
    if (qconfig_.bias_correction) {
      const std::vector<float> shift = quant::CorrectedBias({weight.data_as<float>(), rows, cols}, {},
                                                            group.mean_x.Mean(), group.mean_xq.Mean(), scales, codes);
      out.bias_shift = Tensor::FromValues<float>({rows}, shift);
    }
    return out;
  }

  const Graph& graph_;
  std::span<const Encoding> texts_;
  const RoundingOptions& options_;
  const QConfig& qconfig_;
  const ProgressFn& progress_;
  std::map<std::string, quant::QuantParams>& ranges_;
  std::map<std::string, std::vector<std::string>> readers_;  // of each input
  ThreadPool pool_;
  std::vector<Group> groups_;
  std::vector<float> quantized_;
  passes::CalibratedRounding out_;
};

}  // namespace

passes::CalibratedRounding RoundLinears(const Graph& graph, const std::set<std::string>& layers,
                                        std::span<const Encoding> texts, const RoundingOptions& options,
                                        const ProgressFn& progress, std::map<std::string, quant::QuantParams>* ranges) {
  const QConfig& qconfig = options.qconfig;
  const bool needs_texts =
      options.table == nullptr || qconfig.gptq || qconfig.bias_correction || qconfig.smooth_quant == SmoothQuant::kAuto;
  if (texts.empty() && needs_texts) {
    Fail(ErrorCode::kInvalidArgument, "expected calibration texts, got none");
  }
  if (options.table != nullptr) {
    CheckModelOf(*options.table, graph);
  }
  return Rounder(graph, layers, texts, options, progress, ranges).Run(passes::GroupLinears(graph, layers));
}

}  // namespace laconic
