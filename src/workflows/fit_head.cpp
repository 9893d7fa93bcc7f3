#include "laconic/fit_head.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "formats/hf/model_name.h"
#include "formats/hf/weights.h"
#include "graph/extract.h"
#include "graph/graph.h"
#include "graph/model_io.h"
#include "laconic/error.h"
#include "metrics/least_squares.h"
#include "metrics/logistic_regression.h"
#include "passes/layer_selection.h"
#include "passes/quantize/int8.h"
#include "runtime/stored_weights.h"
#include "workflows/batches.h"
#include "workflows/quantized_model.h"

namespace laconic {
namespace {

constexpr std::string_view kHeadName = "classifier";
constexpr double kHeldOut = 0.1;

// The linear layer that gives the logits, and what enters it.
struct Head {
  const Node* node = nullptr;  // null for an encoder without a head
  ValueId features = kNoValue;
  bool quantized = false;
};

Head FindHead(const Model& model) {
  const Graph& graph = model.graph();
  const ValueId output = graph.outputs()[0];
  if (model.info().labels.empty()) {
    return {nullptr, output};
  }
  const Node* node = graph.FindProducer(output);
  if (node == nullptr || node->op != "laconic.Linear") {
    Fail(ErrorCode::kUnsupported, NameOf(model), ": the logits do not come from a linear layer");
  }
  const Node* quantize = graph.FindProducer(node->inputs[0]);
  if (quantize != nullptr && quantize->op == "laconic.DynamicQuantize") {
    return {node, quantize->inputs[0], true};
  }
  return {node, node->inputs[0]};
}

// The model cut off before its head.
Model FeatureModel(const Model& model, const Head& head) {
  ModelInfo info = model.info();
  info.labels.clear();
  return {std::move(info), std::make_shared<const Graph>(Extract(model.graph(), head.features)), model.tokenizer()};
}

// `features` (a graph with one output, the features) with a linear head on top, the layer `name`.
Graph AddHead(const Graph& features, const std::string& name, const LinearHead& head) {
  Graph out;
  GraphCopier copy(features, &out);
  for (const Node& node : features.nodes()) {
    copy.CopyNode(node);
  }
  const Tensor weight = Tensor::FromValues<float>({head.num_labels, head.num_features}, head.weight).Transposed();
  const ValueId weight_id = out.AddInitializer(name + ".weight", weight);
  const ValueId bias_id = out.AddInitializer(name + ".bias", Tensor::FromValues<float>({head.num_labels}, head.bias));
  out.AddOutput(out.AddNode("laconic.Linear", std::string(kLogits), {copy(features.outputs()[0]), weight_id, bias_id}));
  return out;
}

std::vector<float> Features(const Model& features, const Dataset& data, const RunOptions& options) {
  const EncodedTexts texts = EncodeTexts(features, data, options);
  return ComputeOutputs(CompiledModel::Compile(features), texts.encodings, options);
}

// Rows `indices` of a matrix of `width` columns.
template <typename T>
std::vector<T> TakeRows(const std::vector<T>& rows, const std::vector<std::int64_t>& indices, std::int64_t width) {
  std::vector<T> taken;
  for (const std::int64_t index : indices) {
    const auto row = rows.begin() + index * width;
    taken.insert(taken.end(), row, row + width);
  }
  return taken;
}

struct Examples {
  std::vector<float> features;
  std::vector<std::uint8_t> targets;
};

LabelledFeatures View(const Examples& examples, std::int64_t num_features, std::int64_t num_labels) {
  return {num_features, num_labels, examples.features, examples.targets};
}

// Takes a tenth of the rows out of `train`.
Examples HoldOut(Examples* train, std::int64_t num_features, std::int64_t num_labels, std::uint64_t seed) {
  const auto num_rows = static_cast<std::int64_t>(train->features.size()) / num_features;
  if (num_rows < 2) {
    Fail(ErrorCode::kInvalidArgument, "expected texts to validate on, or at least 2 to hold some out, got ", num_rows);
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(num_rows));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);
  for (std::size_t i = order.size(); i > 1; --i) {  // Fisher and Yates; std::shuffle differs between libraries
    std::swap(order[i - 1], order[random() % i]);
  }
  const auto held = std::max<std::ptrdiff_t>(1, static_cast<std::ptrdiff_t>(kHeldOut * static_cast<double>(num_rows)));
  const std::vector<std::int64_t> out(order.begin(), order.begin() + held);
  const std::vector<std::int64_t> kept(order.begin() + held, order.end());
  Examples validation = {TakeRows(train->features, out, num_features), TakeRows(train->targets, out, num_labels)};
  *train = {TakeRows(train->features, kept, num_features), TakeRows(train->targets, kept, num_labels)};
  return validation;
}

// The head in f32, whatever it is stored as.
LinearHead ReadHead(const Graph& graph, const Node& node) {
  const runtime::LinearPart stored = runtime::StoredLinear(graph, node);
  const Tensor weight = stored.has_codes() ? runtime::Dequantized(stored).weight : stored.weight.ToF32();
  LinearHead head;
  head.num_features = weight.shape()[0];
  head.num_labels = weight.shape()[1];
  const Tensor rows = weight.Transposed().Contiguous();
  head.weight.assign(rows.values<float>().begin(), rows.values<float>().end());
  head.bias.assign(static_cast<std::size_t>(head.num_labels), 0.0F);
  if (stored.bias != nullptr) {
    const Tensor bias = stored.bias->Contiguous();
    head.bias.assign(bias.values<float>().begin(), bias.values<float>().end());
  }
  return head;
}

// How the layers of a model with this recipe are quantized. A model that came as ONNX has none.
QConfig QConfigOf(const nlohmann::json& recipe) {
  QConfig qconfig = PresetQConfig("laconic", {.is_static = false});
  if (const auto stored = recipe.find("qconfig"); stored != recipe.end()) {
    const auto reduced = JsonValueOr<std::vector<std::string>>(recipe, "reduced_range", {});
    qconfig = WithReducedRange(ParseQConfig(stored->dump(), {.is_static = false}),
                               std::set<std::string>(reduced.begin(), reduced.end()));
  }
  qconfig.int8_attention = false;  // the head alone: attention is as the model has it
  return qconfig;
}

}  // namespace

Model FitHead(const Model& encoder, const std::vector<std::filesystem::path>& train,
              const std::vector<std::filesystem::path>& validation, const FitHeadOptions& options,
              FitHeadReport* report) {
  if (encoder.info().method != "float") {
    Fail(ErrorCode::kInvalidArgument, NameOf(encoder), " is compressed (", encoder.info().method,
         "); fit the head on the original, or refit this one to a teacher");
  }
  if (std::ranges::find(train, "-") != train.end()) {
    Fail(ErrorCode::kInvalidArgument,
         "a head is fitted in two passes over the texts, and standard input has one; give ", "files");
  }
  LabelSet labels = ReadLabels(train, options.columns);
  if (std::ranges::is_permutation(labels.names, encoder.info().labels)) {
    labels.names = encoder.info().labels;  // whoever reads logits by their places finds them where they were
  }
  if (labels.problem == ProblemType::kSingleLabel && labels.names.size() < 2) {
    Fail(ErrorCode::kInvalidArgument, "expected texts of at least 2 labels, got only '", labels.names[0], "'");
  }
  DatasetOptions columns = options.columns;
  columns.labels = labels.names;
  columns.problem = labels.problem;
  const Model features = FeatureModel(encoder, FindHead(encoder));
  const auto num_labels = static_cast<std::int64_t>(labels.names.size());
  const auto read = [&](const std::vector<std::filesystem::path>& paths) {
    Dataset data = ReadDataset(paths, columns);
    return Examples{Features(features, data, options.run), std::move(data.targets)};
  };
  Examples train_rows = read(train);
  const auto num_features =
      static_cast<std::int64_t>(train_rows.features.size() * labels.names.size() / train_rows.targets.size());
  const Examples validation_rows =
      validation.empty() ? HoldOut(&train_rows, num_features, num_labels, options.seed) : read(validation);
  ThreadPool pool(NumThreads(options.run));
  const LogisticSelection selection = FitLogisticWithValidation(
      labels.problem, View(train_rows, num_features, num_labels), View(validation_rows, num_features, num_labels),
      options.l2s, &pool, options.run.progress);
  *report = {};
  for (const L2Trial& trial : selection.trials) {
    report->trials.push_back({trial.l2, trial.validation_loss});
  }
  report->l2 = selection.l2;
  report->converged = selection.fit.converged;
  report->num_train = static_cast<std::int64_t>(train_rows.targets.size()) / num_labels;
  report->num_validation = static_cast<std::int64_t>(validation_rows.targets.size()) / num_labels;

  auto graph = std::make_shared<const Graph>(AddHead(features.graph(), std::string(kHeadName), selection.fit.head));
  ModelInfo info = encoder.info();
  info.labels = labels.names;
  info.problem = labels.problem;
  info.problem_is_stated = true;
  info.path.clear();
  info.weight_files.clear();
  const hf::WeightCount weights = hf::CountWeights(*graph);
  info.base_parameters = weights.elements;
  info.stored_bytes = weights.bytes;
  info.recipe = nlohmann::json{{"head", {{"l2", selection.l2}, {"seed", options.seed}}}}.dump();
  return {std::move(info), std::move(graph), encoder.tokenizer()};
}

Model RefitHeadToTeacher(const Model& model, const Model& teacher, const Dataset& data, const RefitOptions& options) {
  if (model.info().labels.empty() || model.info().labels != teacher.info().labels) {
    Fail(ErrorCode::kInvalidArgument, NameOf(model), " and its teacher ", NameOf(teacher),
         " need the same labels, got ", model.info().labels.size(), " and ", teacher.info().labels.size());
  }
  const Head head = FindHead(model);
  const Model features = FeatureModel(model, head);
  const std::vector<float> inputs = Features(features, data, options.run);
  const std::vector<float> targets =
      ComputeOutputs(CompiledModel::Compile(teacher), EncodeTexts(teacher, data, options.run).encodings, options.run);
  ThreadPool pool(NumThreads(options.run));
  const LinearHead refitted = RefitHead(ReadHead(model.graph(), *head.node), inputs, targets, options.penalty, &pool);
  const std::string name = passes::LayerName(model.graph(), head.node->inputs[1]);  // by which the recipe knows it
  Graph graph = AddHead(features.graph(), name, refitted);
  nlohmann::json recipe = model.info().recipe.empty() ? nlohmann::json::object() : ParseJson(model.info().recipe);
  if (head.quantized) {
    const passes::Int8Options int8 = {.qconfig = QConfigOf(recipe), .ranges = {}};
    graph = passes::QuantizeInt8(graph, {name}, int8, options.run.progress);
  }
  recipe["head_refit"] = {{"penalty", options.penalty}, {"texts", data.texts.size()}};
  return QuantizedModel(model, model.info().method, recipe, std::move(graph));
}

}  // namespace laconic
