#include "laconic/compare.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "base/cancel.h"
#include "base/progress.h"
#include "formats/hf/model_name.h"
#include "graph/graph.h"
#include "laconic/bench.h"
#include "laconic/error.h"
#include "passes/quantized_layers.h"
#include "workflows/batches.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;

// Batches that one model runs before the next has its turn: long enough for its weights to be back in the caches, short
// enough that a disturbance meets all models.
constexpr std::size_t kTurn = 32;

struct Runner {
  Runner(const Model& model, const CompileOptions& options, int threads)
      : compiled(CompiledModel::Compile(model, options)), session(compiled, threads) {}
  std::shared_ptr<const CompiledModel> compiled;
  Session session;
  std::vector<float> logits;
  std::vector<double> milliseconds;
};

// LABEL_0, LABEL_1, … stand for names that nobody gave.
bool AreNamed(const std::vector<std::string>& labels) { return labels.empty() || labels[0] != "LABEL_0"; }

bool AgreeOnLabels(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return a == b || (a.size() == b.size() && (!AreNamed(a) || !AreNamed(b)));
}

void CheckLabels(const std::vector<Model>& models) {
  for (const Model& model : models) {
    if (!AgreeOnLabels(model.info().labels, models[0].info().labels)) {
      const bool is_order = std::ranges::is_permutation(model.info().labels, models[0].info().labels);
      Fail(ErrorCode::kInvalidArgument, NameOf(model), " has ", model.info().labels.size(),
           is_order ? " labels in another order than " : " labels that are not those of ", NameOf(models[0]),
           ", which has ", models[0].info().labels.size());
    }
    // An ONNX file does not say how many parameters its original had.
    if (fs::is_directory(model.info().path) && fs::is_directory(models[0].info().path) &&
        model.info().base_parameters != models[0].info().base_parameters) {
      Fail(ErrorCode::kInvalidArgument, NameOf(model), " comes from a model of ", model.info().base_parameters,
           " parameters, ", NameOf(models[0]), " has ", models[0].info().base_parameters);
    }
  }
}

void RunTurn(const std::vector<std::vector<Encoding>>& batches, const std::vector<std::vector<std::int64_t>>& order,
             std::size_t first, std::size_t last, Runner* runner) {
  const std::int64_t width = runner->compiled->output_width();
  runner->session.Run(batches[first]);  // brings the weights back into the caches
  for (std::size_t i = first; i < last; ++i) {
    ThrowIfCancelled();
    const auto start = std::chrono::steady_clock::now();
    const std::vector<float> rows = runner->session.Run(batches[i]);
    runner->milliseconds.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    ScatterRows(rows, order[i], width, &runner->logits);
  }
}

void RunAll(const std::vector<Encoding>& encodings, const RunOptions& options, std::vector<Runner>* runners) {
  const auto order = BatchOrder(encodings, options.batch);
  const auto batches = MakeBatches(encodings, order);
  for (Runner& runner : *runners) {
    runner.logits.resize(encodings.size() * static_cast<std::size_t>(runner.compiled->output_width()));
    for (int i = 0; i < kWarmUps; ++i) {
      runner.session.Run(batches[batches.size() / 2]);
    }
  }
  for (std::size_t first = 0; first < batches.size(); first += kTurn) {
    const std::size_t last = std::min(batches.size(), first + kTurn);
    for (Runner& runner : *runners) {
      RunTurn(batches, order, first, last, &runner);
    }
    Report(options.progress, "comparing", static_cast<std::int64_t>(last), static_cast<std::int64_t>(batches.size()));
  }
}

}  // namespace

std::int64_t DiskBytes(const Model& model) {
  const ModelInfo& info = model.info();
  std::set<fs::path> files(info.weight_files.begin(), info.weight_files.end());
  if (!info.home.empty()) {
    files.insert({info.home / "config.json", info.home / "laconic.json"});
    for (const std::string& name :
         model.has_tokenizer() ? model.tokenizer().file_names() : std::vector<std::string>()) {
      files.insert(info.home / name);
    }
  }
  std::int64_t bytes = 0;
  for (const fs::path& file : files) {
    std::error_code error;  // not all of these need be there
    const std::uintmax_t size = fs::file_size(file, error);
    bytes += error ? 0 : static_cast<std::int64_t>(size);
  }
  return bytes;
}

TensorBytes CountTensorBytes(const Model& model) {
  const Graph& graph = model.graph();
  TensorBytes bytes;
  for (const auto& [id, tensor] : graph.initializers()) {
    if (tensor.dtype() != DType::kS64) {
      bytes.other += tensor.size_bytes();
    }
  }
  const auto move_to = [&](std::int64_t* to, ValueId weight) {
    // The weight itself, or what Cast or DequantizeLinear makes it of.
    const Node* producer = graph.FindProducer(weight);
    const std::vector<ValueId> stored = producer == nullptr ? std::vector{weight} : producer->inputs;
    for (const ValueId id : stored) {
      const Tensor* tensor = graph.FindInitializer(id);
      const std::int64_t size = tensor == nullptr ? 0 : tensor->size_bytes();
      *to += size;
      bytes.other -= size;
    }
  };
  for (const Node& node : graph.nodes()) {
    if (node.op == "laconic.Linear") {
      move_to(&bytes.linear, node.inputs[1]);
    } else if (node.op == "Gather" && IntAttribute(node, "axis") == 0) {
      move_to(&bytes.embedding, node.inputs[0]);
    }
  }
  return bytes;
}

std::string MethodOf(const Model& model) {
  if (model.info().method != "float") {
    return model.info().method;
  }
  const std::vector<passes::QuantizedLinear> layers = passes::FindQuantizedLinears(model.graph());
  const std::int64_t num_static = std::ranges::count_if(
      layers, [](const passes::QuantizedLinear& layer) { return layer.input.quantizer.fixed.has_value(); });
  if (!layers.empty()) {
    return num_static == 0 ? "dynamic" : num_static == std::ssize(layers) ? "static" : "mixed";
  }
  const bool has_codes = std::ranges::any_of(model.graph().initializers(), [](const auto& entry) {
    const Tensor& tensor = entry.second;
    return (tensor.dtype() == DType::kS8 || tensor.dtype() == DType::kU8) && tensor.shape().size() > 1;
  });
  return has_codes ? "int8" : "float";
}

Comparison CompareModels(const std::vector<Model>& models, const LabelledData& data, const RunOptions& options) {
  if (models.empty()) {
    Fail(ErrorCode::kInvalidArgument, "no model to compare");
  }
  CheckLabels(models);
  const EncodedTexts texts = EncodeTexts(models[0], data.data, options);
  CompileOptions compile_base = options.compile;
  compile_base.precision = "f32";
  std::vector<Runner> runners;
  runners.reserve(models.size());
  for (const Model& model : models) {
    runners.emplace_back(model, runners.empty() ? compile_base : options.compile, NumThreads(options));
  }
  RunAll(texts.encodings, options, &runners);

  Comparison comparison;
  comparison.problem = data.problem;
  comparison.labels = models[0].info().labels;
  comparison.num_texts = static_cast<std::int64_t>(texts.encodings.size());
  comparison.num_truncated = texts.num_truncated;
  comparison.batch = options.batch;
  comparison.threads = NumThreads(options);
  comparison.isa = runners[0].compiled->isa();
  const auto num_labels = static_cast<std::int64_t>(comparison.labels.size());
  for (std::size_t i = 0; i < models.size(); ++i) {
    const ModelInfo& info = models[i].info();
    ComparedModel row;
    row.path = info.path.string();
    row.method = MethodOf(models[i]);
    row.precision = runners[i].compiled->precision();
    row.disk_bytes = DiskBytes(models[i]);
    row.stored_bytes = info.stored_bytes;
    row.tensor_bytes = CountTensorBytes(models[i]);
    row.memory_bytes = runners[i].compiled->memory_bytes();
    row.compression_ratio =
        4.0 * static_cast<double>(models[0].info().base_parameters) / static_cast<double>(info.stored_bytes);
    const double base_disk = static_cast<double>(i == 0 ? row.disk_bytes : comparison.models[0].disk_bytes);
    row.size_reduction_percent = 100.0 * (1.0 - static_cast<double>(row.disk_bytes) / base_disk);
    row.metrics = ComputeMetrics(data.problem, num_labels, runners[i].logits, data.data.targets);
    row.change = CompareLogits(data.problem, num_labels, runners[0].logits, runners[i].logits);
    row.latency = SummarizeLatency(runners[i].milliseconds, comparison.num_texts);
    comparison.models.push_back(std::move(row));
  }
  return comparison;
}

}  // namespace laconic
