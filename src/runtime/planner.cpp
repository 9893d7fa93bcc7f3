#include "runtime/planner.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "graph/ops.h"
#include "laconic/error.h"
#include "models/encoder.h"
#include "quant/static.h"
#include "runtime/steps.h"

namespace laconic::runtime {
namespace {

using kernels::Activation;

constexpr std::int64_t kCodesAlignment = 64;  // rows of codes start on a cache line

bool IsTappable(const Graph& graph, ValueId value) {
  const Node* producer = graph.FindProducer(value);
  const ValueType& type = graph.value(value).type;
  if (producer == nullptr || type.dtype != DType::kF32 || !(type.has_rank(2) || type.has_rank(3))) {
    return false;
  }
  const bool is_stored_weight = (producer->op == "DequantizeLinear" || producer->op == "Cast") &&
                                graph.FindInitializer(producer->inputs[0]) != nullptr;
  return !is_stored_weight;
}

class Planner {
 public:
  Planner(const Graph& graph, kernels::Isa isa, std::span<const std::string> taps, TapSink* sink, bool saturating)
      : graph_(graph), isa_(isa), saturating_(saturating) {
    plan_.tap_sink = sink;
    for (std::size_t i = 0; i < taps.size(); ++i) {
      taps_[TappedValue(taps[i])].push_back(i);
    }
    for (const Node& node : graph.nodes()) {
      for (const ValueId input : node.inputs) {
        if (input != kNoValue) {
          consumers_[input].push_back(&node);
        }
      }
    }
  }

  Plan Run() {
    for (const Node& node : graph_.nodes()) {
      if (!done_.contains(&node)) {
        WithFrame([&] { return "node '" + graph_.name(node) + "'"; }, [&] { Lower(node); });
      }
      EmitTaps(node);
    }
    if (graph_.outputs().size() != 1) {
      Fail(ErrorCode::kUnsupported, "a graph with ", graph_.outputs().size(), " outputs; expected 1");
    }
    const ValueId output = graph_.outputs()[0];
    plan_.output = Place(output);
    plan_.output_rows = RowsOf(output);
    FinishPlan(&plan_);
    return std::move(plan_);
  }

 private:
  void Lower(const Node& node) {
    using Handler = void (Planner::*)(const Node&);
    static const std::map<std::string_view, Handler> handlers = {
        {"Add", &Planner::LowerAdd},
        {"Attention", &Planner::LowerAttention},
        {"Cast", &Planner::LowerNothing},
        {"DequantizeLinear", &Planner::LowerDequantize},
        {"Gather", &Planner::LowerGather},
        {"Gelu", &Planner::LowerActivation},
        {"LayerNormalization", &Planner::LowerLayerNorm},
        {"Mul", &Planner::LowerMul},
        {"QuantizeLinear", &Planner::LowerQuantizeLinear},
        {"Relu", &Planner::LowerActivation},
        {"Tanh", &Planner::LowerActivation},
        {"laconic.DynamicQuantize", &Planner::LowerDynamicQuantize},
        {"laconic.KeyMask", &Planner::LowerNothing},
        {"laconic.Linear", &Planner::LowerLinear},
        {"laconic.MeanPool", &Planner::LowerMeanPool},
        {"laconic.Positions", &Planner::LowerNothing},
    };
    const auto found = handlers.find(node.op);
    if (found == handlers.end()) {
      Fail(ErrorCode::kUnsupported, "no kernel runs ", node.op);
    }
    (this->*found->second)(node);
  }

  // Read where it is used: a weight's stored form, the mask (texts are flat: only real tokens are there), positions.
  void LowerNothing(const Node&) {}

  // --- taps -------------------------------------------------------------------------------------------------------

  ValueId TappedValue(const std::string& name) const {
    const std::optional<ValueId> value = graph_.FindValue(name);
    if (!value) {
      Fail(ErrorCode::kInvalidArgument, "the graph has no value '", name, "'");
    }
    if (!IsTappable(graph_, *value)) {
      Fail(ErrorCode::kInvalidArgument, "'", name, "' of type ", laconic::ToString(graph_.value(*value).type),
           " cannot be tapped: expected rows of f32 that the graph computes");
    }
    return *value;
  }

  void EmitTaps(const Node& node) {
    for (const ValueId output : node.outputs) {
      const auto found = taps_.find(output);
      if (found == taps_.end()) {
        continue;
      }
      const Matrix place = Place(output);
      for (const std::size_t tap : found->second) {
        Emit<TapStep>(plan_.tap_sink, tap, graph_.value(output).name, RowsOf(output), place);
      }
    }
  }

  // --- where values lie -------------------------------------------------------------------------------------------

  Rows RowsOf(ValueId value) const {
    const ValueType& type = graph_.value(value).type;
    const std::size_t rank = type.shape.size();
    if ((rank != 2 && rank != 3) || type.dtype != DType::kF32 || !type.shape.back().is_fixed()) {
      Fail(ErrorCode::kUnsupported, "value '", graph_.value(value).name, "' of type ", laconic::ToString(type),
           "; expected f32[batch, width] or f32[batch, sequence, width]");
    }
    return rank == 3 ? Rows::kTokens : Rows::kTexts;
  }

  std::int64_t WidthOf(ValueId value) const { return graph_.value(value).type.shape.back().size; }

  BufferId NewBuffer(Rows rows, std::int64_t row_bytes) {
    plan_.buffers.push_back({rows, row_bytes});
    return static_cast<BufferId>(plan_.buffers.size() - 1);
  }

  Matrix NewMatrix(Rows rows, std::int64_t width) {
    return {NewBuffer(rows, width * static_cast<std::int64_t>(sizeof(float))), 0, width};
  }

  Matrix NewPlace(ValueId value) { return places_[value] = NewMatrix(RowsOf(value), WidthOf(value)); }

  Matrix Place(ValueId value) {
    const auto embedding = embeddings_.find(value);
    if (embedding != embeddings_.end() && !places_.contains(value)) {
      Matrix out = NewPlace(value);
      Emit<EmbeddingStep>(isa_, embedding->second, out);
    }
    const auto sum = sums_.find(value);
    if (sum != sums_.end() && !places_.contains(value)) {
      const auto [a, b] = sum->second;
      const Matrix from_a = Place(a);
      const Matrix from_b = Place(b);
      Emit<AddStep>(isa_, RowsOf(value), from_a, from_b, NewPlace(value));
    }
    const auto scaled = scaled_.find(value);
    if (scaled != scaled_.end() && !places_.contains(value)) {
      const Matrix x = Place(scaled->second.x);
      Emit<ScaleStep>(RowsOf(value), x, scaled->second.multiplier, NewPlace(value));
    }
    const auto quantized = quantized_.find(value);
    if (quantized != quantized_.end() && !places_.contains(value)) {
      Emit<DequantizeStep>(RowsOf(value), quantized->second, NewPlace(value));
    }
    const auto found = places_.find(value);
    if (found == places_.end()) {
      Fail(ErrorCode::kUnsupported, "no plan computes '", graph_.value(value).name, "' as numbers of its own");
    }
    return found->second;
  }

  template <typename T, typename... Args>
  void Emit(Args&&... args) {
    plan_.steps.push_back(std::make_unique<const T>(std::forward<Args>(args)...));
  }

  // The one node that reads `value`, if nothing else does.
  const Node* SoleReader(ValueId value) const {
    const auto found = consumers_.find(value);
    const bool leaves = std::ranges::find(graph_.outputs(), value) != graph_.outputs().end();
    return found != consumers_.end() && found->second.size() == 1 && !leaves ? found->second[0] : nullptr;
  }

  // … and it may be computed inside that node's step.
  const Node* SoleConsumer(ValueId value) const { return taps_.contains(value) ? nullptr : SoleReader(value); }

  // --- weights ----------------------------------------------------------------------------------------------------

  // The stored form of `value`: itself, what Cast widens, or what DequantizeLinear scales along `axis`.
  std::pair<Tensor, Tensor> StoredWeight(ValueId value, std::int64_t axis) const {
    if (const Tensor* tensor = graph_.FindInitializer(value)) {
      return {*tensor, Tensor()};
    }
    const Node* producer = graph_.FindProducer(value);
    const Tensor* stored = producer == nullptr ? nullptr : graph_.FindInitializer(producer->inputs[0]);
    if (stored != nullptr && producer->op == "Cast") {
      return {*stored, Tensor()};
    }
    if (stored != nullptr && producer->op == "DequantizeLinear" && producer->inputs.size() == 2 &&
        stored->dtype() == DType::kS8 && IntAttribute(*producer, "axis") == axis) {
      const Tensor* scale = graph_.FindInitializer(producer->inputs[1]);
      if (scale != nullptr && scale->shape() == Shape{stored->shape()[static_cast<std::size_t>(axis)]}) {
        return {*stored, *scale};
      }
    }
    Fail(ErrorCode::kUnsupported, "weight '", graph_.value(value).name,
         "': expected a constant, a Cast of one, or s8 with a scale per ", axis == 0 ? "row" : "column");
  }

  // A linear layer's weight: as StoredWeight, or any codes of 8 bits with scales and zero points per column or for all.
  LinearPart StoredLinear(ValueId value) const {
    const Node* node = graph_.FindProducer(value);
    const Tensor* codes =
        node == nullptr || node->op != "DequantizeLinear" ? nullptr : graph_.FindInitializer(node->inputs[0]);
    if (codes == nullptr) {
      return {StoredWeight(value, 1).first, {}, {}, nullptr};
    }
    LinearPart part;
    part.weight = *codes;
    const auto take = [&](std::size_t input, DType dtype) {
      const Tensor* tensor = graph_.FindInitializer(node->inputs[input]);
      const bool fits = tensor != nullptr && tensor->dtype() == dtype &&
                        (tensor->num_elements() == 1 || tensor->shape() == Shape{codes->shape()[1]});
      if (!fits) {
        Fail(ErrorCode::kUnsupported, "weight '", graph_.value(value).name,
             "': expected constant scales and zero points, one for each column or one for all");
      }
      return tensor->Contiguous();
    };
    const std::int64_t axis = IntAttribute(*node, "axis");
    part.scale = take(1, DType::kF32);
    if (node->inputs.size() > 2 && node->inputs[2] != kNoValue) {
      part.zero_point = take(2, codes->dtype());
    }
    if (!part.has_codes() || IntAttribute(*node, "block_size") != 0 ||
        (part.scale.num_elements() != 1 && axis != 1 && axis != -1)) {
      Fail(ErrorCode::kUnsupported, "weight '", graph_.value(value).name,
           "': expected s8 or u8 with a scale per column, or one for all");
    }
    return part;
  }

  // Codes of a table whose rows have a scale for each block of columns.
  bool FindBlockCodes(ValueId value, Table* table) const {
    const Node* producer = graph_.FindProducer(value);
    if (producer == nullptr || producer->op != "DequantizeLinear" || IntAttribute(*producer, "block_size") == 0) {
      return false;
    }
    table->block = IntAttribute(*producer, "block_size");
    const Tensor* codes = graph_.FindInitializer(producer->inputs[0]);
    const Tensor* scale = graph_.FindInitializer(producer->inputs[1]);
    const bool runs = codes != nullptr && scale != nullptr && codes->dtype() == DType::kS8 &&
                      codes->shape().size() == 2 && producer->inputs.size() == 2 &&
                      IntAttribute(*producer, "axis") == 1 && table->block % kernels::kEmbeddingBlockUnit == 0;
    if (!runs) {
      Fail(ErrorCode::kUnsupported, "table '", graph_.value(value).name, "': blocks of ", table->block,
           "; expected constant s8 in blocks along axis 1 of a multiple of ", kernels::kEmbeddingBlockUnit,
           " columns, without zero points");
    }
    table->data = *codes;
    table->scale = scale->Contiguous();
    return true;
  }

  // A table of 8-bit codes with one scale for all rows, as ONNX Runtime writes it. Codes less their zero point stay 8
  // bits wide where they fit; otherwise the table is held in f32.
  bool FindCodes(ValueId value, Table* table) const {
    const Node* node = graph_.FindProducer(value);
    if (node == nullptr || node->op != "DequantizeLinear") {
      return false;
    }
    const Tensor* stored = graph_.FindInitializer(node->inputs[0]);
    const Tensor* scale = graph_.FindInitializer(node->inputs[1]);
    const bool has_zero_point = node->inputs.size() > 2;
    const Tensor* zero = has_zero_point ? graph_.FindInitializer(node->inputs[2]) : nullptr;
    if (stored == nullptr || stored->shape().size() != 2 || scale == nullptr || scale->num_elements() != 1 ||
        (has_zero_point && zero == nullptr) || (stored->dtype() != DType::kS8 && stored->dtype() != DType::kU8)) {
      return false;
    }
    const Tensor codes = stored->Contiguous();
    const bool is_signed = codes.dtype() == DType::kS8;
    const auto number = [&](const Tensor& tensor, std::int64_t i) {
      return is_signed ? int{tensor.data_as<std::int8_t>()[i]} : int{tensor.data_as<std::uint8_t>()[i]};
    };
    const int zero_point = zero == nullptr ? 0 : number(*zero, 0);
    bool fits = true;
    for (std::int64_t i = 0; i < codes.num_elements(); ++i) {
      const int difference = number(codes, i) - zero_point;
      fits = fits && difference >= -128 && difference <= 127;
    }
    const float factor = scale->values<float>()[0];
    const auto fill = [&](auto* out, auto&& convert) {
      for (std::int64_t i = 0; i < codes.num_elements(); ++i) {
        out[i] = convert(number(codes, i) - zero_point);
      }
    };
    if (!fits) {
      table->data = Tensor::Make(DType::kF32, codes.shape(), [&](std::byte* bytes) {
        fill(reinterpret_cast<float*>(bytes), [&](int difference) { return static_cast<float>(difference) * factor; });
      });
      return true;
    }
    table->data = is_signed && zero_point == 0 ? codes : Tensor::Make(DType::kS8, codes.shape(), [&](std::byte* bytes) {
      fill(reinterpret_cast<std::int8_t*>(bytes), [](int difference) { return static_cast<std::int8_t>(difference); });
    });
    const std::vector<float> scales(static_cast<std::size_t>(codes.shape()[0]), factor);
    table->scale = Tensor::FromValues<float>({codes.shape()[0]}, scales);
    return true;
  }

  Tensor Constant(ValueId value) const {
    const Tensor* tensor = graph_.FindInitializer(value);
    if (tensor == nullptr || tensor->dtype() != DType::kF32) {
      Fail(ErrorCode::kUnsupported, "'", graph_.value(value).name, "' is not an f32 constant");
    }
    plan_.memory_bytes += tensor->size_bytes();
    return tensor->Contiguous();
  }

  // --- ops --------------------------------------------------------------------------------------------------------

  void LowerGather(const Node& node) {
    if (IntAttribute(node, "axis") == 1) {
      LowerFirstToken(node);
      return;
    }
    Table table;
    if (!FindBlockCodes(node.inputs[0], &table) && !FindCodes(node.inputs[0], &table)) {
      std::tie(table.data, table.scale) = StoredWeight(node.inputs[0], 0);
    }
    table.data = table.data.Contiguous();
    table.type = WeightTypeOf(table.data.dtype());
    table.name = graph_.value(node.inputs[0]).name;
    table.ids = SourceOf(node.inputs[1]);
    if (table.ids == IdSource::kPositions) {
      SkipRows(IntAttribute(*graph_.FindProducer(node.inputs[1]), "offset"), &table);
    }
    const std::int64_t rows = table.data.shape()[0];
    switch (table.ids) {
      case IdSource::kIds:
        plan_.num_ids = rows;
        break;
      case IdSource::kTypeIds:
        plan_.num_types = rows;
        break;
      case IdSource::kPositions:
        plan_.max_positions = rows;
        break;
      case IdSource::kZeros:
        break;
    }
    plan_.memory_bytes += table.data.size_bytes() + table.scale.size_bytes();
    embeddings_[node.outputs[0]] = {std::move(table)};
  }

  // The runtime counts a text's positions from 0.
  static void SkipRows(std::int64_t count, Table* table) {
    const std::int64_t rows = table->data.shape()[0];
    if (count >= rows) {
      Fail(ErrorCode::kInvalidFile, "positions from ", count, " on in a table of ", rows, " rows");
    }
    table->data = table->data.Slice(count, rows);
    if (table->scale.shape()[0] == rows) {
      table->scale = table->scale.Slice(count, rows);
    }
  }

  IdSource SourceOf(ValueId ids) const {
    const std::string& name = graph_.value(ids).name;
    const Node* producer = graph_.FindProducer(ids);
    if (producer != nullptr && producer->op == "laconic.Positions") {
      return IdSource::kPositions;
    }
    if (name == models::kInputIds) {
      return IdSource::kIds;
    }
    if (name == models::kTokenTypeIds) {
      return IdSource::kTypeIds;
    }
    Fail(ErrorCode::kUnsupported, "an embedding of '", name, "'");
  }

  void LowerFirstToken(const Node& node) {
    const Tensor* index = graph_.FindInitializer(node.inputs[1]);
    const bool first = index != nullptr && index->dtype() == DType::kS64 && index->shape().empty() &&
                       index->values<std::int64_t>()[0] == 0;
    if (!first) {
      Fail(ErrorCode::kUnsupported, "Gather along axis 1 of other rows than the first");
    }
    const Matrix x = Place(node.inputs[0]);
    Emit<FirstTokenStep>(x, NewPlace(node.outputs[0]));
  }

  // A row that is added to every token is a table whose ids are all 0.
  void NoteConstantRow(ValueId value) {
    const Tensor* row = graph_.FindInitializer(value);
    if (row != nullptr && row->dtype() == DType::kF32 && row->shape().size() == 1) {
      Table table;
      table.data = Constant(value).Reshaped({1, row->shape()[0]});
      table.ids = IdSource::kZeros;
      table.name = graph_.value(value).name;
      embeddings_[value] = {std::move(table)};
    }
  }

  // Sums of table rows become one look-up (a tap inside looks up again); a sum that only a LayerNormalization reads is
  // added there.
  void LowerAdd(const Node& node) {
    const ValueId out = node.outputs[0];
    NoteConstantRow(node.inputs[1]);
    const auto a = embeddings_.find(node.inputs[0]);
    const auto b = embeddings_.find(node.inputs[1]);
    const bool tables = a != embeddings_.end() && b != embeddings_.end() && b->second.size() == 1 &&
                        static_cast<std::int64_t>(a->second.size()) < kernels::kMaxEmbeddingTables &&
                        SoleReader(node.inputs[0]) != nullptr && SoleReader(node.inputs[1]) != nullptr;
    if (tables) {
      std::vector<Table> joined = a->second;
      joined.push_back(b->second[0]);
      embeddings_[out] = std::move(joined);
      return;
    }
    if (graph_.value(node.inputs[0]).type != graph_.value(node.inputs[1]).type) {
      Fail(ErrorCode::kUnsupported, "Add of ", laconic::ToString(graph_.value(node.inputs[0]).type), " and ",
           laconic::ToString(graph_.value(node.inputs[1]).type));
    }
    sums_[out] = {node.inputs[0], node.inputs[1]};
    const Node* consumer = SoleConsumer(out);
    if (consumer == nullptr || consumer->op != "LayerNormalization") {
      Place(out);
    }
  }

  void LowerLayerNorm(const Node& node) {
    const ValueId in = node.inputs[0];
    const std::int64_t axis = IntAttribute(node, "axis");
    const auto last = static_cast<std::int64_t>(graph_.value(in).type.shape.size()) - 1;
    if (node.inputs.size() != 3 || node.outputs.size() != 1 || (axis != -1 && axis != last)) {
      Fail(ErrorCode::kUnsupported, "LayerNormalization without bias, over several axes, or with statistics");
    }
    LayerNormSpec spec;
    spec.name = graph_.name(node);
    const auto sum = sums_.find(in);
    if (sum != sums_.end() && !places_.contains(in)) {
      spec.x = Place(sum->second.first);
      spec.residual = Place(sum->second.second);
    } else {
      spec.x = Place(in);
    }
    spec.rows = RowsOf(in);
    spec.gamma = Constant(node.inputs[1]);
    spec.beta = Constant(node.inputs[2]);
    spec.epsilon = FloatAttribute(node, "epsilon");
    spec.out = NewPlace(node.outputs[0]);
    QuantizeAlong(node.outputs[0], &spec);
    Emit<LayerNormStep>(isa_, std::move(spec));
  }

  // A quantizer that reads what is normalised, or that times a factor a column, runs in the same pass over the row.
  void QuantizeAlong(ValueId normalised, LayerNormSpec* spec) {
    for (const Node* consumer : consumers_[normalised]) {
      const Node* quantizer = consumer;
      Tensor multiplier;
      if (const auto scaled = consumer->op == "Mul" ? ScaledRows(*consumer) : std::nullopt) {
        quantizer = SoleConsumer(consumer->outputs[0]);
        multiplier = scaled->multiplier;
      }
      if (quantizer != nullptr && quantizer->op == "laconic.DynamicQuantize" && IsPerToken(*quantizer)) {
        spec->quantized = NewQuantized(quantizer->outputs[0], spec->rows, spec->out.width);
        spec->multiplier = multiplier;
        plan_.memory_bytes += multiplier.size_bytes();
        done_.insert({consumer, quantizer});
        return;
      }
    }
  }

  // --- 8-bit rows -------------------------------------------------------------------------------------------------

  struct Scaled {
    ValueId x = kNoValue;
    Tensor multiplier;  // f32 [width]
  };

  std::optional<Scaled> ScaledRows(const Node& node) const {
    for (const std::size_t i : {0U, 1U}) {
      const Tensor* factors = graph_.FindInitializer(node.inputs[i]);
      const ValueType& type = graph_.value(node.inputs[1 - i]).type;
      if (factors != nullptr && factors->dtype() == DType::kF32 && type.shape.size() >= 2 &&
          type.shape.back().is_fixed() && factors->shape() == Shape{type.shape.back().size}) {
        return Scaled{node.inputs[1 - i], factors->Contiguous()};
      }
    }
    return std::nullopt;
  }

  // Multiplied where it is read, if quantizers alone read it.
  void LowerMul(const Node& node) {
    const std::optional<Scaled> scaled = ScaledRows(node);
    if (!scaled) {
      Fail(ErrorCode::kUnsupported, "Mul of other than rows by a constant for each column");
    }
    plan_.memory_bytes += scaled->multiplier.size_bytes();
    scaled_[node.outputs[0]] = *scaled;
  }

  static bool IsPerToken(const Node& node) { return StringAttribute(node, kGranularity) == kPerToken; }

  QuantizedMatrix NewQuantized(ValueId value, Rows rows, std::int64_t width) {
    const std::int64_t code_bytes = (width + kCodesAlignment - 1) / kCodesAlignment * kCodesAlignment;
    const QuantizedMatrix matrix = {NewBuffer(rows, code_bytes), NewBuffer(rows, sizeof(float)),
                                    NewBuffer(rows, sizeof(std::int32_t)), width};
    quantized_[value] = matrix;
    return matrix;
  }

  QuantizeSpec SpecOf(const Node& node) {
    const auto scaled = scaled_.find(node.inputs[0]);
    QuantizeSpec spec;
    spec.rows = RowsOf(node.inputs[0]);
    if (scaled != scaled_.end() && !places_.contains(node.inputs[0])) {
      spec.x = Place(scaled->second.x);
      spec.multiplier = scaled->second.multiplier;
    } else {
      spec.x = Place(node.inputs[0]);
    }
    spec.out = NewQuantized(node.outputs[0], spec.rows, spec.x.width);
    return spec;
  }

  void LowerDynamicQuantize(const Node& node) {
    if (IsPerToken(node)) {
      Emit<QuantizeStep>(isa_, SpecOf(node));
    } else {
      Emit<QuantizeTextStep>(isa_, SpecOf(node));
    }
  }

  // Of a QuantizeLinear or DequantizeLinear with one scale for all.
  quant::QuantParams ParamsOf(const Node& node) const {
    quant::QuantParams params;
    const Tensor* scale = graph_.FindInitializer(node.inputs[1]);
    const bool has_zero = node.inputs.size() > 2 && node.inputs[2] != kNoValue;
    const Tensor* zero_point = has_zero ? graph_.FindInitializer(node.inputs[2]) : nullptr;
    if (scale == nullptr || scale->num_elements() != 1 || (has_zero && zero_point == nullptr)) {
      Fail(ErrorCode::kUnsupported, node.op, ": expected one constant scale and zero point for all");
    }
    params.scale = scale->values<float>()[0];
    if (!(params.scale > 0) || !std::isfinite(params.scale)) {
      Fail(ErrorCode::kInvalidFile, node.op, ": expected a scale above 0, got ", params.scale);
    }
    if (zero_point != nullptr) {
      params.dtype = zero_point->dtype();
      params.zero_point = params.dtype == DType::kS8 ? std::int32_t{zero_point->values<std::int8_t>()[0]}
                                                     : std::int32_t{zero_point->values<std::uint8_t>()[0]};
    }
    return params;
  }

  void LowerQuantizeLinear(const Node& node) {
    const quant::QuantParams params = ParamsOf(node);
    params_[node.outputs[0]] = params;
    Emit<QuantizeStaticStep>(isa_, SpecOf(node), params.scale, quant::ZeroPointAsU8(params));
  }

  // A weight is read in its stored form; rows stay codes for whoever can read them.
  void LowerDequantize(const Node& node) {
    if (graph_.FindInitializer(node.inputs[0]) != nullptr) {
      return;
    }
    const auto quantized = params_.find(node.inputs[0]);
    if (quantized == params_.end() || ParamsOf(node) != quantized->second) {
      Fail(ErrorCode::kUnsupported, "DequantizeLinear of other than what a QuantizeLinear with its parameters gives");
    }
    quantized_[node.outputs[0]] = quantized_.at(node.inputs[0]);
  }

  // --- layers -----------------------------------------------------------------------------------------------------

  static bool IsActivation(const Node& node) { return node.op == "Gelu" || node.op == "Relu" || node.op == "Tanh"; }

  static Activation ActivationOf(const Node& node) {
    if (node.op == "Relu") {
      return Activation::kRelu;
    }
    if (node.op == "Tanh") {
      return Activation::kTanh;
    }
    return StringAttribute(node, "approximate") == "tanh" ? Activation::kGeluTanh : Activation::kGeluErf;
  }

  void LowerActivation(const Node& node) {
    const Matrix x = Place(node.inputs[0]);
    Emit<ActivationStep>(isa_, RowsOf(node.inputs[0]), ActivationOf(node), x, NewPlace(node.outputs[0]));
  }

  // Linear layers that read the same rows and feed one Attention (Q, K, V) become one GEMM; an activation that alone
  // reads a layer is applied as the layer is written.
  void LowerLinear(const Node& node) {
    std::vector<const Node*> group = Siblings(node);
    std::vector<LinearPart> parts;
    for (const Node* member : group) {
      parts.push_back(PartOf(*member));
      done_.insert(member);
    }
    LinearSpec spec;
    spec.name = graph_.name(node);
    spec.rows = RowsOf(node.outputs[0]);
    std::int64_t width = 0;
    for (const LinearPart& part : parts) {
      width += part.weight.shape()[1];
    }
    spec.out = NewMatrix(spec.rows, width);
    ValueId out = node.outputs[0];
    const Node* next = group.size() == 1 ? SoleConsumer(out) : nullptr;
    if (next != nullptr && IsActivation(*next)) {
      spec.activation = ActivationOf(*next);
      done_.insert(next);
      out = next->outputs[0];
    }
    PlaceOutputs(group, out, spec.out);
    EmitLinear(node, std::move(spec), parts);
  }

  void PlaceOutputs(const std::vector<const Node*>& group, ValueId out, const Matrix& matrix) {
    if (group.size() == 1) {
      places_[out] = matrix;
      return;
    }
    std::int64_t column = 0;
    for (const Node* member : group) {
      const std::int64_t width = WidthOf(member->outputs[0]);
      places_[member->outputs[0]] = {matrix.buffer, column, width};
      column += width;
    }
  }

  // u8 weights are widened before they are multiplied.
  bool Saturates(const std::vector<LinearPart>& parts) const {
    return saturating_ &&
           std::ranges::all_of(parts, [](const LinearPart& part) { return part.weight.dtype() == DType::kS8; });
  }

  void EmitLinear(const Node& node, LinearSpec spec, const std::vector<LinearPart>& parts) {
    const ValueId x = node.inputs[0];
    if (RunType(parts[0], x) == DType::kS8) {
      PackedS8 packed = PackS8(parts, Saturates(parts) ? kernels::GetSaturatingGemmU8S8() : kernels::GetGemmU8S8(isa_));
      plan_.memory_bytes += packed.size_bytes();
      Emit<LinearU8S8Step>(std::move(spec), quantized_.at(x), std::move(packed));
      return;
    }
    std::vector<LinearPart> exact;
    std::ranges::transform(parts, std::back_inserter(exact),
                           [](const LinearPart& part) { return part.has_codes() ? Dequantized(part) : part; });
    PackedF32 packed = PackF32(exact, isa_);
    plan_.memory_bytes += packed.size_bytes();
    Emit<LinearF32Step>(std::move(spec), Place(x), std::move(packed));
  }

  // What a part is packed as: integers where input and weight have codes that integer kernels read, else as stored, in
  // f32 where that is codes.
  DType RunType(const LinearPart& part, ValueId x) const {
    if (!part.has_codes()) {
      return part.weight.dtype();
    }
    return quantized_.contains(x) && FitsS8(part) ? DType::kS8 : DType::kF32;
  }

  LinearPart PartOf(const Node& node) const {
    LinearPart part = StoredLinear(node.inputs[1]);
    if (node.inputs.size() > 2 && node.inputs[2] != kNoValue) {
      part.bias = graph_.FindInitializer(node.inputs[2]);
      if (part.bias == nullptr) {
        Fail(ErrorCode::kUnsupported, "bias '", graph_.value(node.inputs[2]).name, "' is not a constant");
      }
    }
    return part;
  }

  std::vector<const Node*> Siblings(const Node& node) const {
    const Node* reader = SoleConsumer(node.outputs[0]);
    if (reader == nullptr || reader->op != "Attention") {
      return {&node};
    }
    std::vector<const Node*> group;
    const DType type = RunType(PartOf(node), node.inputs[0]);
    for (std::size_t i = 0; i < 3; ++i) {
      const Node* member = graph_.FindProducer(reader->inputs[i]);
      const bool joins = member != nullptr && member->op == "laconic.Linear" && member->inputs[0] == node.inputs[0] &&
                         SoleConsumer(reader->inputs[i]) == reader &&
                         RunType(PartOf(*member), node.inputs[0]) == type && !done_.contains(member);
      if (!joins) {
        return {&node};
      }
      group.push_back(member);
    }
    return group;
  }

  // All queries of a text see all its keys, by their scores alone.
  static bool IsFullAttention(const Node& node) {
    return node.inputs.size() <= 4 && node.outputs.size() == 1 && IntAttribute(node, "is_causal") == 0 &&
           FloatAttribute(node, "softcap") == 0 && IntAttribute(node, "left_window_size") < 0 &&
           IntAttribute(node, "right_window_size") < 0 && IntAttribute(node, "q_num_heads") > 0 &&
           FloatAttribute(node, "scale") != 0;
  }

  void LowerAttention(const Node& node) {
    if (!IsFullAttention(node)) {
      Fail(ErrorCode::kUnsupported, "Attention with a past, a window, a soft cap, or without heads or scale");
    }
    AttentionSpec spec;
    spec.name = graph_.name(node);
    spec.num_heads = IntAttribute(node, "q_num_heads");
    spec.scale = FloatAttribute(node, "scale");
    spec.q = Place(node.inputs[0]);
    spec.k = Place(node.inputs[1]);
    spec.v = Place(node.inputs[2]);
    if (IntAttribute(node, "kv_num_heads") != spec.num_heads || spec.q.width != spec.v.width ||
        spec.q.width != spec.k.width || spec.q.width / spec.num_heads > kernels::kMaxHeadDim) {
      Fail(ErrorCode::kUnsupported, "Attention with unlike heads, or heads wider than ", kernels::kMaxHeadDim);
    }
    CheckMask(node);
    spec.out = NewPlace(node.outputs[0]);
    Emit<AttentionStep>(isa_, std::move(spec));
  }

  // Flat texts hold only tokens whose mask is 1, so the one mask that they stand for is the model's own attention_mask.
  void CheckMask(const Node& node) const {
    const Node* mask = node.inputs.size() > 3 ? graph_.FindProducer(node.inputs[3]) : nullptr;
    if (mask == nullptr || mask->op != "laconic.KeyMask" ||
        graph_.value(mask->inputs[0]).name != models::kAttentionMask) {
      Fail(ErrorCode::kUnsupported, "Attention without a mask that says which tokens of '", models::kAttentionMask,
           "' are real");
    }
  }

  void LowerMeanPool(const Node& node) {
    if (graph_.value(node.inputs[1]).name != models::kAttentionMask) {
      Fail(ErrorCode::kUnsupported, "a mean over another mask than '", models::kAttentionMask, "'");
    }
    const Matrix x = Place(node.inputs[0]);
    Emit<MeanPoolStep>(x, NewPlace(node.outputs[0]));
  }

  const Graph& graph_;
  kernels::Isa isa_;
  bool saturating_;  // CompileOptions
  mutable Plan plan_;
  std::unordered_map<ValueId, std::vector<const Node*>> consumers_;
  std::unordered_map<ValueId, Matrix> places_;
  std::unordered_map<ValueId, QuantizedMatrix> quantized_;         // codes, and the f32 values that they stand for
  std::unordered_map<ValueId, quant::QuantParams> params_;         // of QuantizeLinear's codes
  std::unordered_map<ValueId, Scaled> scaled_;                     // rows that are not yet multiplied
  std::unordered_map<ValueId, std::vector<Table>> embeddings_;     // sums of table rows, not yet looked up
  std::unordered_map<ValueId, std::pair<ValueId, ValueId>> sums_;  // sums that are not yet added
  std::set<const Node*> done_;
  std::unordered_map<ValueId, std::vector<std::size_t>> taps_;  // tapped values: their places in the list asked for
};

}  // namespace

std::vector<std::string> TappableValues(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) {
    for (const ValueId output : node.outputs) {
      if (output != kNoValue && IsTappable(graph, output)) {
        names.push_back(graph.value(output).name);
      }
    }
  }
  return names;
}

Plan MakePlan(const Graph& graph, kernels::Isa isa, std::span<const std::string> taps, TapSink* sink, bool saturating) {
  return Planner(graph, isa, taps, sink, saturating).Run();
}

}  // namespace laconic::runtime
