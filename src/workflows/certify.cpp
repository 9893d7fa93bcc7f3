#include "laconic/certify.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "formats/hf/model_name.h"
#include "graph/graph.h"
#include "laconic/error.h"
#include "passes/layer_selection.h"
#include "passes/quantized_layers.h"
#include "passes/slow_patterns.h"
#include "quant/overflow.h"
#include "workflows/batches.h"
#include "workflows/gathered_rows.h"

namespace laconic {
namespace {

// Two weights of neighbouring inputs k and k + 1 that the worst activations saturate.
struct RiskyPair {
  std::int32_t k = 0;
  std::int32_t channel = 0;
  std::int8_t w0 = 0, w1 = 0;
};

// One weight, wherever it is used.
struct CheckedLayer {
  LayerCertificate certificate;
  const Tensor* codes = nullptr;
  std::vector<RiskyPair> risky;     // ascending by k
  std::vector<std::size_t> inputs;  // that it is multiplied with: of Certifier::inputs_
};

struct CheckedInput {
  passes::InputQuantizer quantizer;
  std::size_t source = 0;  // of the tapped values
  RowsShape shape;
  std::vector<std::uint8_t> codes;  // of the batch, [rows, width]
};

// The largest that the quantizer gives, as u8.
std::uint8_t LargestCodeOf(const quant::ActivationQuantizer& quantizer) {
  const bool is_limited = quantizer.fixed && quantizer.fixed->limits;
  return is_limited ? static_cast<std::uint8_t>(quantizer.fixed->limits->max - quant::LeastCode(quantizer.fixed->dtype))
                    : std::uint8_t{255};
}

// `most`: the largest activation.
void FindRiskyPairs(const Tensor& weight, std::uint8_t most, CheckedLayer* layer) {
  const std::int64_t inputs = weight.shape()[0];
  const std::int64_t channels = weight.shape()[1];
  layer->certificate.num_pairs = (inputs + 1) / 2 * channels;
  layer->certificate.is_widened = weight.dtype() == DType::kU8;
  if (layer->certificate.is_widened) {
    return;
  }
  const Tensor rows = weight.Contiguous();
  const std::span<const std::int8_t> codes = rows.values<std::int8_t>();
  for (std::int64_t k = 0; k + 1 < inputs; k += 2) {  // an odd last product always fits
    for (std::int64_t n = 0; n < channels; ++n) {
      const auto at = static_cast<std::size_t>(k * channels + n);
      const std::int8_t w0 = codes[at];
      const std::int8_t w1 = codes[at + static_cast<std::size_t>(channels)];
      if (quant::CanSaturate(w0, w1, most, most)) {
        layer->risky.push_back({static_cast<std::int32_t>(k), static_cast<std::int32_t>(n), w0, w1});
      }
    }
  }
  layer->certificate.num_risky = static_cast<std::int64_t>(layer->risky.size());
}

// The activations of inputs k and k + 1 in every row, and the largest of each.
struct CodeColumns {
  std::vector<std::uint8_t> a0, a1;
  std::uint8_t max0 = 0, max1 = 0;

  void Take(const CheckedInput& input, std::int64_t k) {
    const auto width = static_cast<std::size_t>(input.shape.width);
    a0.clear();
    a1.clear();
    for (std::size_t at = static_cast<std::size_t>(k); at < input.codes.size(); at += width) {
      a0.push_back(input.codes[at]);
      a1.push_back(input.codes[at + 1]);
    }
    max0 = a0.empty() ? std::uint8_t{0} : *std::ranges::max_element(a0);
    max1 = a1.empty() ? std::uint8_t{0} : *std::ranges::max_element(a1);
  }
};

class Certifier {
 public:
  explicit Certifier(const Model& model) : model_(model) {
    std::unordered_map<const Tensor*, std::size_t> by_weight;
    std::unordered_map<ValueId, std::size_t> by_rounded;
    for (const passes::QuantizedLinear& linear : passes::FindQuantizedLinears(model.graph())) {
      const auto [layer, is_new] = by_weight.emplace(linear.codes, layers_.size());
      if (is_new) {
        layers_.push_back({.certificate = {.layer = linear.name}, .codes = linear.codes});
      }
      const auto [input, is_new_input] = by_rounded.emplace(linear.input.rounded, inputs_.size());
      if (is_new_input) {
        inputs_.push_back({.quantizer = linear.input, .codes = {}});
      }
      layers_[layer->second].inputs.push_back(input->second);
    }
    for (CheckedLayer& layer : layers_) {
      std::uint8_t most = 0;
      for (const std::size_t input : layer.inputs) {
        most = std::max(most, LargestCodeOf(inputs_[input].quantizer.quantizer));
      }
      FindRiskyPairs(*layer.codes, most, &layer);
    }
    for (const Node& node : model.graph().nodes()) {
      result_.num_not_checked += node.op == "MatMulInteger" || node.op == "QLinearMatMul" ? 1 : 0;
    }
    if (layers_.empty() && result_.num_not_checked == 0) {
      Fail(ErrorCode::kInvalidArgument, NameOf(model), " has no linear layer in 8 bits; quantize it first");
    }
    for (const passes::SlowNodes& slow : passes::FindSlowNodes(model.graph())) {
      result_.slow.push_back({slow.rule, slow.first, slow.count, slow.reason});
    }
  }

  Certificate Run(const NextRowFn& next, const RunOptions& options) {
    if (next) {
      RunOnData(next, options);
    }
    for (CheckedLayer& layer : layers_) {
      LayerCertificate& certificate = layer.certificate;
      certificate.safety = certificate.num_risky == 0      ? Safety::kSafe
                           : !next                         ? Safety::kMaySaturate
                           : certificate.num_saturated > 0 ? Safety::kSaturates
                                                           : Safety::kSafeOnData;
      result_.safety = std::max(result_.safety, certificate.safety);
      result_.layers.push_back(std::move(certificate));
    }
    if (result_.num_not_checked > 0) {
      result_.safety = std::max(result_.safety, Safety::kMaySaturate);
    }
    return std::move(result_);
  }

 private:
  void RunOnData(const NextRowFn& next, const RunOptions& options) {
    std::vector<std::string> taps;
    for (CheckedInput& input : inputs_) {
      input.source = taps.size();
      taps.push_back(model_.graph().value(input.quantizer.source).name);
      input.shape = RowsShapeOf(model_.graph(), taps.back());
    }
    const int num_threads = NumThreads(options);
    RowGatherer gatherer(model_.graph(), taps, num_threads);
    BatchReader reader(model_.tokenizer(), std::min(MaxLength(model_, options), gatherer.max_length()), next,
                       options.batch, gatherer.bytes_per_token());
    ThreadPool pool(num_threads);
    while (reader.Next()) {
      const std::vector<float> exact = gatherer.Run(reader.batch());
      pool.Run(static_cast<std::int64_t>(inputs_.size()), [&](std::int64_t task, int /*thread*/) {
        CheckedInput& input = inputs_[static_cast<std::size_t>(task)];
        input.codes =
            QuantizeBatch(input.quantizer, gatherer.rows(input.source), input.shape.rows, reader.starts()).codes;
      });
      const std::int64_t before = NumSaturated();
      pool.Run(static_cast<std::int64_t>(layers_.size()), [&](std::int64_t task, int /*thread*/) {
        CheckBatch(reader, &layers_[static_cast<std::size_t>(task)]);
      });
      AddAnswers(reader, exact, NumSaturated() > before, num_threads);
      Report(options.progress, "checking", reader.num_texts(), 0);
    }
    if (reader.num_texts() == 0) {
      Fail(ErrorCode::kInvalidArgument, "no text to check");
    }
    result_.num_texts = reader.num_texts();
    result_.num_truncated = reader.num_truncated();
    const auto width = static_cast<std::int64_t>(exact_.size()) / result_.num_texts;
    result_.change = CompareLogits(model_.info().problem, width, exact_, saturated_);
  }

  std::int64_t NumSaturated() const {
    std::int64_t sum = 0;
    for (const CheckedLayer& layer : layers_) {
      sum += layer.certificate.num_saturated;
    }
    return sum;
  }

  void CheckBatch(const BatchReader& reader, CheckedLayer* layer) const {
    for (const std::size_t index : layer->inputs) {
      const CheckedInput& input = inputs_[index];
      const auto num_rows = static_cast<std::int64_t>(input.codes.size()) / input.shape.width;
      layer->certificate.num_sums += num_rows * layer->certificate.num_pairs;
      CheckInput(reader, input, layer);
    }
  }

  static void CheckInput(const BatchReader& reader, const CheckedInput& input, CheckedLayer* layer) {
    LayerCertificate& certificate = layer->certificate;
    const bool wants_example = !certificate.first;
    CodeColumns columns;
    std::int64_t column = -1;
    std::int64_t first_row = -1;
    for (const RiskyPair& pair : layer->risky) {
      if (pair.k != column) {
        columns.Take(input, column = pair.k);
      }
      if (!quant::CanSaturate(pair.w0, pair.w1, columns.max0, columns.max1)) {
        continue;
      }
      std::int64_t count = 0;
      for (std::size_t row = 0; row < columns.a0.size(); ++row) {
        count += quant::FitsS16(quant::PairSum(columns.a0[row], columns.a1[row], pair.w0, pair.w1)) ? 0 : 1;
      }
      certificate.num_saturated += count;
      if (count > 0 && wants_example) {
        NoteExample(reader, input, columns, pair, &first_row, &certificate);
      }
    }
  }

  // Keeps the example of the earliest row, of equals that of the least k and channel.
  static void NoteExample(const BatchReader& reader, const CheckedInput& input, const CodeColumns& columns,
                          const RiskyPair& pair, std::int64_t* first_row, LayerCertificate* certificate) {
    for (std::size_t row = 0; row < columns.a0.size(); ++row) {
      const std::int32_t sum = quant::PairSum(columns.a0[row], columns.a1[row], pair.w0, pair.w1);
      if (quant::FitsS16(sum)) {
        continue;
      }
      if (*first_row < 0 || static_cast<std::int64_t>(row) < *first_row) {
        *first_row = static_cast<std::int64_t>(row);
        certificate->first = {reader.PlaceOf(input.shape.rows, *first_row), pair.channel, pair.k, sum};
      }
      return;
    }
  }

  // Without a sum that saturates, the answers are the exact ones: layer by layer nothing differs.
  void AddAnswers(const BatchReader& reader, const std::vector<float>& exact, bool differs, int num_threads) {
    exact_.insert(exact_.end(), exact.begin(), exact.end());
    if (differs && !saturating_) {
      saturating_.emplace(CompiledModel::Compile(model_, {.isa = "", .saturating = true}), num_threads);
    }
    const std::vector<float> answers = differs ? saturating_->Run(reader.batch()) : exact;
    saturated_.insert(saturated_.end(), answers.begin(), answers.end());
  }

  const Model& model_;
  std::vector<CheckedLayer> layers_;
  std::vector<CheckedInput> inputs_;
  std::optional<Session> saturating_;
  std::vector<float> exact_, saturated_;
  Certificate result_;
};

std::set<std::string> QuantizedLayersOf(const Model& model) {
  std::set<std::string> names;
  for (const passes::QuantizedLinear& linear : passes::FindQuantizedLinears(model.graph())) {
    names.insert(linear.name);
  }
  return names;
}

}  // namespace

std::string_view ToString(Safety safety) noexcept {
  constexpr std::array<std::string_view, 4> kNames = {"yes", "on this data", "not known without data", "no"};
  return kNames[static_cast<std::size_t>(safety)];
}

Certificate Certify(const Model& model, const NextRowFn& next, const RunOptions& options) {
  return Certifier(model).Run(next, options);
}

FixedModel QuantizeWithoutOverflow(const Model& model, Overflow fix, const QuantizeFn& quantize, const TextsFn& texts,
                                   const RunOptions& options) {
  std::set<std::string> reduced;
  if (fix == Overflow::kReduceRange) {
    const passes::LayerSelection all = {.kinds = {passes::LayerKind::kLinear}};
    const std::vector<std::string> names = passes::SelectLayers(model.graph(), all);
    reduced.insert(names.begin(), names.end());
  }
  for (;;) {
    Model quantized = quantize(reduced);
    const std::set<std::string> in_8_bits = QuantizedLayersOf(quantized);
    std::set<std::string> unsafe;
    if (fix == Overflow::kAuto && !in_8_bits.empty()) {  // embeddings alone have no sums
      for (const LayerCertificate& layer : Certify(quantized, texts ? texts() : NextRowFn(), options).layers) {
        if (layer.safety > Safety::kSafeOnData) {
          unsafe.insert(layer.layer);
        }
      }
    }
    if (std::ranges::includes(reduced, unsafe)) {
      std::erase_if(reduced, [&](const std::string& layer) { return !in_8_bits.contains(layer); });
      return {std::move(quantized), std::move(reduced)};
    }
    reduced.merge(unsafe);
  }
}

}  // namespace laconic
