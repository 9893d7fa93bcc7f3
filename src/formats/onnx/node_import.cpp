#include "formats/onnx/node_import.h"

#include <algorithm>
#include <cstring>

#include "formats/onnx/microsoft_ops.h"
#include "formats/onnx/to_plain_graph.h"
#include "graph/ops.h"
#include "laconic/error.h"

namespace laconic::onnx_file {
namespace {

void StripAbsent(std::vector<ValueId>* inputs) {
  while (!inputs->empty() && inputs->back() == kNoValue) {
    inputs->pop_back();
  }
}

template <typename T>
std::optional<T> Take(Attributes* attributes, std::string_view name) {
  const auto found = attributes->find(name);
  if (found == attributes->end()) {
    return std::nullopt;
  }
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) {
    Fail(ErrorCode::kInvalidFile, "attribute '", name, "': expected ", TypeName(T()), ", got ",
         TypeName(found->second));
  }
  T taken = *value;
  attributes->erase(found);
  return taken;
}

}  // namespace

GraphImport::GraphImport(const PlainGraph& plain) : plain_(plain) {
  for (const PlainValue& value : plain.values) {
    names_.insert(value.name);
  }
  for (const PlainPort& output : plain.outputs) {
    outputs_.insert(output.value);
    if (IsHalf(output.type.dtype)) half_outputs_.insert(output.value);
  }
}

void GraphImport::AddInput(const PlainPort& input) {
  const PlainValue& value = plain_.value(input.value);
  ValueType type = input.type;
  if (value.constant) {
    const bool is_zero = value.constant->dtype() == DType::kS64 && value.constant->shape() == Shape{1, 1} &&
                         value.constant->values<std::int64_t>()[0] == 0;
    if (!is_zero) {
      Fail(ErrorCode::kUnsupported, "a default other than one s64 zero of shape [1, 1]");
    }
    for (Dim& dim : type.shape) {
      if (dim.symbol.ends_with(kOptionalSuffix)) dim.symbol.resize(dim.symbol.size() - std::strlen(kOptionalSuffix));
    }
  }
  values_[input.value] = graph_.AddInput(value.name, std::move(type));
}

void GraphImport::AddNode(const PlainNode& plain) {
  WithFrame([&] { return "node '" + plain.name + "' (" + plain.op + ")"; },
            [&] {
              NodeImport node(this, plain);
              if (Upgrade(&node) || ImportMicrosoftOp(&node)) {
                return;
              }
              if (plain.op.starts_with("laconic.") || FindOpSchema(plain.op) == nullptr) {
                Fail(ErrorCode::kUnsupported, "operator ", plain.op, " of opset ", plain.opset,
                     " is neither one of the graph's nor part of a known pattern");
              }
              node.Result(plain.op, node.Inputs(), node.TakeAll());
            });
}

void GraphImport::AddOutputs() {
  for (const PlainPort& output : plain_.outputs) {
    ValueId value = ValueOf(output.value);
    const std::string& name = plain_.value(output.value).name;
    if (half_outputs_.contains(output.value) && graph_.value(value).name != name) {
      const std::optional<ValueId> found = graph_.FindValue(name);
      value =
          found ? *found : graph_.AddNode("Cast", name, {value}, {{"to", std::string(ToString(output.type.dtype))}});
    }
    graph_.AddOutput(value);
  }
}

ValueId GraphImport::ValueOf(ValueId plain) {
  const auto found = values_.find(plain);
  if (found != values_.end()) {
    return found->second;
  }
  const PlainValue& value = plain_.value(plain);
  if (!value.is_constant()) {
    Fail(ErrorCode::kUnsupported, "'", value.name, "' is used apart from the pattern that computes it");
  }
  return values_[plain] = graph_.AddInitializer(value.name, *value.constant);
}

ValueId GraphImport::ScalarOf(ValueId plain) {
  const PlainValue& value = plain_.value(plain);
  if (!value.is_constant() || value.constant->shape() != Shape{1}) {
    return ValueOf(plain);
  }
  const auto [found, is_new] = scalars_.emplace(plain, kNoValue);
  if (is_new) {
    found->second = graph_.AddInitializer(UniqueName(value.name + "/scalar"), value.constant->Reshaped({}));
  }
  return found->second;
}

ValueId GraphImport::Widened(ValueId value) {
  if (value == kNoValue || !IsHalf(graph_.value(value).type.dtype)) {
    return value;
  }
  const auto [found, is_new] = widened_.emplace(value, kNoValue);
  if (is_new) {
    const std::string name = UniqueName(graph_.value(value).name + "/f32");
    found->second = Add("Cast", {name}, {value}, {{"to", std::string(ToString(DType::kF32))}})[0];
  }
  return found->second;
}

std::vector<ValueId> GraphImport::Add(std::string op, const std::vector<std::string>& names,
                                      std::vector<ValueId> inputs, Attributes attributes) {
  StripAbsent(&inputs);
  const std::vector<ValueId> outputs = graph_.AddNode(std::move(op), names, std::move(inputs), std::move(attributes));
  if (!graph_.value(outputs[0]).type.has_shape) {
    const int rank = InferRank(graph_.nodes().back());
    if (rank >= 0) ranks_[outputs[0]] = rank;
  }
  return outputs;
}

std::string GraphImport::UniqueName(const std::string& wanted) {
  std::string name = wanted;
  for (int& i = num_called_[wanted]; !names_.insert(name).second;) {
    name = wanted + "_" + std::to_string(++i);
  }
  return name;
}

std::string GraphImport::NameOf(ValueId plain) {
  const std::string& name = plain_.value(plain).name;
  return half_outputs_.contains(plain) ? UniqueName(name + "/f32") : name;
}

int GraphImport::RankOf(ValueId value) const {
  const ValueType& type = graph_.value(value).type;
  if (type.has_shape) {
    return static_cast<int>(type.shape.size());
  }
  const auto found = ranks_.find(value);
  return found == ranks_.end() ? -1 : found->second;
}

// What the types alone do not tell: it may depend on constants.
int GraphImport::InferRank(const Node& node) const {
  const auto rank = [&](std::size_t i) {
    return i < node.inputs.size() && node.inputs[i] >= 0 ? RankOf(node.inputs[i]) : -1;
  };
  const auto length = [&](std::size_t i) -> int {  // of a vector
    const ValueType& type = graph_.value(node.inputs[i]).type;
    return type.has_rank(1) && type.shape[0].is_fixed() && type.shape[0].size <= 32
               ? static_cast<int>(type.shape[0].size)
               : -1;
  };
  const auto highest = [&](std::size_t first) {
    int found = -1;
    for (std::size_t i = first; i < node.inputs.size(); ++i) {
      if (rank(i) < 0) return -1;
      found = std::max(found, rank(i));
    }
    return found;
  };
  if (node.op == "Transpose" && node.attributes.contains("perm")) {
    return static_cast<int>(std::get<std::vector<std::int64_t>>(node.attributes.at("perm")).size());
  }
  if (node.op == "Reshape" || node.op == "Expand") {
    return node.op == "Expand" && rank(0) > length(1) ? (length(1) < 0 ? -1 : rank(0)) : length(1);
  }
  if (node.op == "Unsqueeze" || node.op == "Squeeze") {
    const int axes = node.inputs.size() > 1 ? length(1) : -1;
    return rank(0) < 0 || axes < 0 ? -1 : node.op == "Squeeze" ? rank(0) - axes : rank(0) + axes;
  }
  if (node.op == "Gather") {
    return rank(0) < 0 || rank(1) < 0 ? -1 : rank(0) + rank(1) - 1;
  }
  if (node.op == "MatMul" || node.op == "MatMulInteger") {
    return rank(0) >= 2 && rank(1) >= 2 ? std::max(rank(0), rank(1)) : -1;
  }
  if (node.op.starts_with("Reduce")) {
    const bool keeps = IntAttribute(node, "keepdims") != 0;
    const int axes = node.inputs.size() > 1 ? length(1) : -1;
    return keeps ? rank(0) : axes >= 0 && rank(0) >= 0 ? rank(0) - axes : -1;
  }
  static const std::unordered_set<std::string_view> broadcast = {
      "Add", "Sub", "Mul", "Div", "Where", "Pow", "Min", "Max", "And", "Or", "Equal", "Less", "Sum", "Greater"};
  if (broadcast.contains(node.op)) {
    return highest(0);
  }
  static const std::unordered_set<std::string_view> same = {"Slice",
                                                            "Softmax",
                                                            "Cast",
                                                            "Relu",
                                                            "Tanh",
                                                            "Erf",
                                                            "Gelu",
                                                            "Sqrt",
                                                            "Identity",
                                                            "Not",
                                                            "LayerNormalization",
                                                            "DequantizeLinear",
                                                            "QuantizeLinear",
                                                            "laconic.Linear"};
  return same.contains(node.op) ? rank(0) : -1;
}

ValueId NodeImport::Raw(std::size_t input) { return Has(input) ? graph_.ValueOf(node_.inputs[input]) : kNoValue; }

ValueId NodeImport::Input(std::size_t input) { return graph_.Widened(Raw(input)); }

ValueId NodeImport::NeededRaw(std::size_t input) {
  if (!Has(input)) {
    Fail(ErrorCode::kInvalidFile, "input ", input, " is missing");
  }
  return Raw(input);
}

ValueId NodeImport::Needed(std::size_t input) { return graph_.Widened(NeededRaw(input)); }

std::vector<ValueId> NodeImport::Inputs() {
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < node_.inputs.size(); ++i) {
    inputs.push_back(Input(i));
  }
  return inputs;
}

const Tensor* NodeImport::Constant(std::size_t input) {
  return Has(input) ? graph_.graph().FindInitializer(Raw(input)) : nullptr;
}

std::int64_t NodeImport::TakeInt(std::string_view name, std::int64_t by_default) {
  return Take<std::int64_t>(&attributes_, name).value_or(by_default);
}
float NodeImport::TakeFloat(std::string_view name, float by_default) {
  return Take<float>(&attributes_, name).value_or(by_default);
}
std::string NodeImport::TakeString(std::string_view name, std::string by_default) {
  return Take<std::string>(&attributes_, name).value_or(std::move(by_default));
}
std::vector<std::int64_t> NodeImport::TakeInts(std::string_view name) {
  return Take<std::vector<std::int64_t>>(&attributes_, name).value_or(std::vector<std::int64_t>());
}

void NodeImport::Expect(std::string_view name, std::int64_t value) {
  const std::int64_t given = TakeInt(name, value);
  if (given != value) {
    Fail(ErrorCode::kUnsupported, "attribute '", name, "': expected ", value, ", got ", given);
  }
}

std::string NodeImport::InnerName(const std::string& suffix) {
  const ValueId first = *std::ranges::find_if(node_.outputs, [](ValueId output) { return output != kNoValue; });
  return graph_.UniqueName(graph_.plain().value(first).name + "/" + suffix);
}

ValueId NodeImport::Add(const std::string& op, std::vector<ValueId> inputs, Attributes attributes) {
  return graph_.Add(op, {InnerName(op)}, std::move(inputs), std::move(attributes))[0];
}

std::vector<ValueId> NodeImport::AddSeveral(const std::string& op, int num_outputs, std::vector<ValueId> inputs) {
  std::vector<std::string> names;
  for (int i = 0; i < num_outputs; ++i) {
    names.push_back(InnerName(op));
  }
  return graph_.Add(op, names, std::move(inputs), {});
}

ValueId NodeImport::AddConstant(const std::string& suffix, Tensor tensor) {
  return graph_.graph().AddInitializer(InnerName(suffix), std::move(tensor));
}

ValueId NodeImport::Scalar(float value) {
  return AddConstant("constant", Tensor::FromValues<float>({}, std::vector<float>{value}));
}

ValueId NodeImport::Integers(std::vector<std::int64_t> values) {
  return AddConstant("constant", Tensor::FromValues<std::int64_t>({static_cast<std::int64_t>(values.size())}, values));
}

void NodeImport::Result(const std::string& op, std::vector<ValueId> inputs, Attributes attributes) {
  CheckAllTaken();
  std::vector<std::string> names;
  for (const ValueId output : node_.outputs) {
    names.push_back(output == kNoValue ? "" : graph_.NameOf(output));
  }
  if (names[0].empty()) {
    names[0] = graph_.UniqueName(node_.name + "/unused");  // the graph calls a node by its first output
  }
  const std::vector<ValueId> outputs = graph_.Add(op, names, std::move(inputs), std::move(attributes));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (node_.outputs[i] != kNoValue) graph_.SetValue(node_.outputs[i], outputs[i]);
  }
}

void NodeImport::Output(std::size_t output, const std::string& op, std::vector<ValueId> inputs, Attributes attributes) {
  if (HasOutput(output)) {
    const std::string name = graph_.NameOf(node_.outputs[output]);
    graph_.SetValue(node_.outputs[output], graph_.Add(op, {name}, std::move(inputs), std::move(attributes))[0]);
  }
}

void NodeImport::ResultIs(ValueId value) {
  if (graph_.IsOutput(node_.outputs[0])) {
    Output(0, "Identity", {value});
  } else if (HasOutput(0)) {
    graph_.SetValue(node_.outputs[0], value);
  }
}

void NodeImport::CheckAllTaken() const {
  if (!attributes_.empty()) {
    Fail(ErrorCode::kUnsupported, "attribute '", attributes_.begin()->first, "'");
  }
}

}  // namespace laconic::onnx_file
