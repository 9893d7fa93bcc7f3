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

// Of a node's inputs; -1 where one is absent or not known.
class InputRanks {
 public:
  InputRanks(const GraphImport& graph, const Node& node) : graph_(graph), node_(node) {}

  const Node& node() const noexcept { return node_; }
  int operator[](std::size_t i) const { return Has(i) ? graph_.RankOf(node_.inputs[i]) : -1; }
  int LengthOf(std::size_t i) const {  // of a vector
    if (!Has(i)) return -1;
    const ValueType& type = graph_.graph().value(node_.inputs[i]).type;
    const bool is_known = type.has_rank(1) && type.shape[0].is_fixed();
    return is_known && type.shape[0].size <= static_cast<std::int64_t>(kMaxRank) ? static_cast<int>(type.shape[0].size)
                                                                                 : -1;
  }
  int Highest() const {
    int highest = -1;
    for (std::size_t i = 0; i < node_.inputs.size(); ++i) {
      if ((*this)[i] < 0) return -1;
      highest = std::max(highest, (*this)[i]);
    }
    return highest;
  }

 private:
  bool Has(std::size_t i) const { return i < node_.inputs.size() && node_.inputs[i] != kNoValue; }

  const GraphImport& graph_;
  const Node& node_;
};

using RankRule = int (*)(const InputRanks& in);

int First(const InputRanks& in) { return in[0]; }
int Highest(const InputRanks& in) { return in.Highest(); }
int Reshape(const InputRanks& in) { return in.LengthOf(1); }
int Expand(const InputRanks& in) { return in.LengthOf(1) < 0 ? -1 : std::max(in[0], in.LengthOf(1)); }
int Squeeze(const InputRanks& in) { return in[0] < 0 || in.LengthOf(1) < 0 ? -1 : in[0] - in.LengthOf(1); }
int Unsqueeze(const InputRanks& in) { return in[0] < 0 || in.LengthOf(1) < 0 ? -1 : in[0] + in.LengthOf(1); }
int Gather(const InputRanks& in) { return in[0] < 0 || in[1] < 0 ? -1 : in[0] + in[1] - 1; }
int MatMul(const InputRanks& in) { return in[0] >= 2 && in[1] >= 2 ? std::max(in[0], in[1]) : -1; }
int Reduce(const InputRanks& in) { return IntAttribute(in.node(), "keepdims") != 0 ? in[0] : Squeeze(in); }
int Transpose(const InputRanks& in) {
  const auto perm = in.node().attributes.find("perm");
  return perm == in.node().attributes.end()
             ? -1
             : static_cast<int>(std::get<std::vector<std::int64_t>>(perm->second).size());
}

// What the types alone do not tell: it may depend on constants. -1 where that is not known.
int InferRank(const InputRanks& in) {
  static const std::unordered_map<std::string_view, RankRule> rules = [] {
    std::unordered_map<std::string_view, RankRule> all = {
        {"Expand", Expand},   {"Gather", Gather},   {"MatMul", MatMul},       {"MatMulInteger", MatMul},
        {"Reshape", Reshape}, {"Squeeze", Squeeze}, {"Transpose", Transpose}, {"Unsqueeze", Unsqueeze}};
    for (const char* op :
         {"Add", "Sub", "Mul", "Div", "Where", "Pow", "Min", "Max", "And", "Or", "Equal", "Less", "Sum", "Greater"}) {
      all[op] = Highest;
    }
    for (const char* op : {"Slice", "Softmax", "Cast", "Relu", "Tanh", "Erf", "Gelu", "Sqrt", "Identity", "Not",
                           "LayerNormalization", "DequantizeLinear", "QuantizeLinear", "laconic.Linear"}) {
      all[op] = First;
    }
    return all;
  }();
  if (in.node().op.starts_with("Reduce")) return Reduce(in);
  const auto rule = rules.find(in.node().op);
  return rule == rules.end() ? -1 : rule->second(in);
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
  std::vector<ValueId> outputs = graph_.AddNode(std::move(op), names, std::move(inputs), std::move(attributes));
  if (!graph_.value(outputs[0]).type.has_shape) {
    const int rank = InferRank(InputRanks(*this, graph_.nodes().back()));
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
  std::vector<std::string> names(static_cast<std::size_t>(num_outputs));
  std::ranges::generate(names, [&] { return InnerName(op); });
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
