#include "laconic/diff.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "graph/graph.h"
#include "laconic/error.h"
#include "passes/quantized_layers.h"
#include "workflows/batches.h"
#include "workflows/gathered_rows.h"

namespace laconic {
namespace {

using quant::MatrixView;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double Relative(double error, double reference) {
  return error == 0 ? 0 : reference == 0 ? kInfinity : std::sqrt(error / reference);
}

// Values of one graph that are tapped, each once.
class TapList {
 public:
  std::size_t Add(const std::string& name) {
    const auto [found, is_new] = index_.emplace(name, names_.size());
    if (is_new) {
      names_.push_back(name);
    }
    return found->second;
  }
  const std::vector<std::string>& names() const noexcept { return names_; }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::size_t> index_;
};

// --- tensors ------------------------------------------------------------------------------------------------------

struct TensorPair {
  std::size_t a = 0, b = 0;  // places in the tap lists
  runtime::Rows rows = runtime::Rows::kTokens;
  TensorDiff diff;
  double sum_abs = 0, sum_squares = 0, sum_reference = 0;

  void Add(const MatrixView& a_rows, const MatrixView& b_rows, double threshold, const BatchReader& reader) {
    for (std::int64_t i = 0; i < a_rows.rows; ++i) {
      AddRow(a_rows.row(i), b_rows.row(i), i, threshold, reader);
    }
    diff.num_rows += a_rows.rows;
  }

  void AddRow(std::span<const float> x, std::span<const float> y, std::int64_t row, double threshold,
              const BatchReader& reader) {
    double squares = 0;
    double reference = 0;
    std::int64_t not_finite = 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      if (!std::isfinite(x[j]) || !std::isfinite(y[j])) {
        const bool same = x[j] == y[j] || (std::isnan(x[j]) && std::isnan(y[j]));
        not_finite += same ? 0 : 1;
        continue;
      }
      const double d = static_cast<double>(y[j]) - x[j];
      squares += d * d;
      reference += static_cast<double>(x[j]) * x[j];
      sum_abs += std::abs(d);
      if (std::abs(d) > diff.max_abs) {
        diff.max_abs = std::abs(d);
        diff.worst = reader.PlaceOf(rows, row);
        diff.worst_column = static_cast<std::int64_t>(j);
        diff.worst_a = x[j];
        diff.worst_b = y[j];
      }
    }
    if (!diff.first && (not_finite > 0 || Relative(squares, reference) > threshold)) {
      diff.first = reader.PlaceOf(rows, row);
    }
    sum_squares += squares;
    sum_reference += reference;
    diff.not_finite += not_finite;
  }

  TensorDiff Finish() && {
    diff.mean_abs = sum_abs / static_cast<double>(std::max<std::int64_t>(1, diff.num_rows * diff.width));
    diff.relative = diff.not_finite > 0 ? kInfinity : Relative(sum_squares, sum_reference);
    diff.signal_to_noise = -20 * std::log10(diff.relative);
    return std::move(diff);
  }
};

// --- codes --------------------------------------------------------------------------------------------------------

// A quantizer of one model, and how many of its values are ties.
struct CodeSide {
  std::size_t source = 0;  // place in the tap list
  RowsShape shape;
  passes::InputQuantizer input;
  std::int64_t ties = 0;

  bool RoundsAs(const CodeSide& other) const {
    return shape == other.shape && input.quantizer == other.input.quantizer && input.per_text == other.input.per_text;
  }
  std::vector<std::uint8_t> Quantize(const RowGatherer& from, const BatchReader& reader) {
    BatchCodes batch = QuantizeBatch(input, from.rows(source), shape.rows, reader.starts());
    ties += batch.num_ties;
    return std::move(batch.codes);
  }
};

struct CodePair {
  std::string layer;
  std::optional<CodeSide> a, b;
  bool is_compared = false;
  std::int64_t num_codes = 0, one_apart = 0, more_apart = 0;

  void Add(const RowGatherer& from_a, const RowGatherer& from_b, const BatchReader& reader) {
    const std::vector<std::uint8_t> codes_a = a ? a->Quantize(from_a, reader) : std::vector<std::uint8_t>();
    const std::vector<std::uint8_t> codes_b = b ? b->Quantize(from_b, reader) : std::vector<std::uint8_t>();
    num_codes += static_cast<std::int64_t>(std::max(codes_a.size(), codes_b.size()));
    for (std::size_t i = 0; is_compared && i < codes_a.size(); ++i) {
      const int apart = std::abs(codes_a[i] - codes_b[i]);
      one_apart += apart == 1 ? 1 : 0;
      more_apart += apart > 1 ? 1 : 0;
    }
  }

  CodeDiff Finish() && {
    CodeDiff diff = {.layer = std::move(layer), .num_codes = num_codes, .ties_a = {}, .ties_b = {}};
    if (a) {
      diff.ties_a = a->ties;
    }
    if (b) {
      diff.ties_b = b->ties;
    }
    if (is_compared) {
      diff.one_apart = one_apart;
      diff.more_apart = more_apart;
    }
    return diff;
  }
};

// --- pairing ------------------------------------------------------------------------------------------------------

const std::string& OutputName(const Graph& graph) {
  if (graph.outputs().size() != 1) {
    Fail(ErrorCode::kUnsupported, "a graph with ", graph.outputs().size(), " outputs; expected 1");
  }
  return graph.value(graph.outputs()[0]).name;
}

class Differ {
 public:
  Differ(const Model& a, const Model& b) : graph_a_(a.graph()), graph_b_(b.graph()) {
    PairTensors();
    PairCodes();
  }

  ModelDiff Run(const Model& tokenizing, const NextRowFn& next, const DiffOptions& options) {
    const int num_threads = NumThreads(options.run);
    RowGatherer a(graph_a_, taps_a_.names(), num_threads);
    RowGatherer b(graph_b_, taps_b_.names(), num_threads);
    const std::int64_t max_length = std::min({MaxLength(tokenizing, options.run), a.max_length(), b.max_length()});
    BatchReader reader(tokenizing.tokenizer(), max_length, next, options.run.batch,
                       a.bytes_per_token() + b.bytes_per_token());
    ThreadPool pool(num_threads);
    while (reader.Next()) {
      a.Run(reader.batch());
      b.Run(reader.batch());
      const auto num_tensors = static_cast<std::int64_t>(tensors_.size());
      pool.Run(num_tensors + static_cast<std::int64_t>(codes_.size()), [&](std::int64_t task, int /*thread*/) {
        if (task < num_tensors) {
          TensorPair& pair = tensors_[static_cast<std::size_t>(task)];
          pair.Add(a.rows(pair.a), b.rows(pair.b), options.threshold, reader);
        } else {
          codes_[static_cast<std::size_t>(task - num_tensors)].Add(a, b, reader);
        }
      });
      Report(options.run.progress, "comparing", reader.num_texts(), 0);
    }
    if (reader.num_texts() == 0) {
      Fail(ErrorCode::kInvalidArgument, "no text to compare on");
    }
    return Finish(reader, options.threshold);
  }

 private:
  void PairTensors() {
    const std::string& output_a = OutputName(graph_a_);
    const std::string& output_b = OutputName(graph_b_);
    const std::vector<std::string> values_b = runtime::TappableValues(graph_b_);
    std::unordered_set<std::string> left(values_b.begin(), values_b.end());
    for (const std::string& name : runtime::TappableValues(graph_a_)) {
      const std::string& partner = name == output_a ? output_b : name;
      const bool is_taken = name != output_a && partner == output_b;  // by a's output
      if (is_taken || left.erase(partner) == 0) {
        result_.only_a.push_back(name);
      } else if (const RowsShape shape = RowsShapeOf(graph_a_, name); shape != RowsShapeOf(graph_b_, partner)) {
        result_.unlike.push_back(name);
      } else {
        TensorPair& pair = tensors_.emplace_back();
        pair.a = taps_a_.Add(name);
        pair.b = taps_b_.Add(partner);
        pair.rows = shape.rows;
        pair.diff.name = name;
        pair.diff.op = graph_a_.FindProducer(*graph_a_.FindValue(name))->op;
        pair.diff.width = shape.width;
        result_.has_outputs = result_.has_outputs || name == output_a;
      }
    }
    std::ranges::copy_if(values_b, std::back_inserter(result_.only_b),
                         [&](const std::string& name) { return left.contains(name); });
  }

  // Quantizers are paired by the first layer that reads them.
  void PairCodes() {
    std::unordered_map<std::string, std::size_t> by_layer;
    const auto add = [&](const Graph& graph, TapList* taps, std::optional<CodeSide> CodePair::*side) {
      std::unordered_set<ValueId> seen;
      for (const passes::QuantizedLinear& layer : passes::FindQuantizedLinears(graph)) {
        if (!seen.insert(layer.input.rounded).second) {
          continue;
        }
        const auto [found, is_new] = by_layer.emplace(layer.name, codes_.size());
        if (is_new) {
          codes_.emplace_back().layer = layer.name;
        }
        const std::string& source = graph.value(layer.input.source).name;
        codes_[found->second].*
            side = {.source = taps->Add(source), .shape = RowsShapeOf(graph, source), .input = layer.input};
      }
    };
    add(graph_a_, &taps_a_, &CodePair::a);
    add(graph_b_, &taps_b_, &CodePair::b);
    for (CodePair& pair : codes_) {
      pair.is_compared = pair.a && pair.b && pair.a->RoundsAs(*pair.b);
    }
  }

  ModelDiff Finish(const BatchReader& reader, double threshold) {
    for (TensorPair& pair : tensors_) {
      result_.tensors.push_back(std::move(pair).Finish());
    }
    for (CodePair& pair : codes_) {
      result_.codes.push_back(std::move(pair).Finish());
    }
    double worst = 0;
    for (std::size_t i = 0; i < result_.tensors.size(); ++i) {
      const double relative = result_.tensors[i].relative;
      if (relative > threshold && !result_.first) {
        result_.first = i;
      }
      if (relative > worst) {
        worst = relative;
        result_.worst = i;
      }
    }
    result_.num_texts = reader.num_texts();
    result_.num_tokens = reader.num_tokens();
    result_.num_truncated = reader.num_truncated();
    return std::move(result_);
  }

  const Graph& graph_a_;
  const Graph& graph_b_;
  TapList taps_a_, taps_b_;
  std::vector<TensorPair> tensors_;
  std::vector<CodePair> codes_;
  ModelDiff result_;
};

}  // namespace

ModelDiff DiffModels(const Model& a, const Model& b, const NextRowFn& next, const DiffOptions& options) {
  return Differ(a, b).Run(a.has_tokenizer() ? a : b, next, options);
}

}  // namespace laconic
