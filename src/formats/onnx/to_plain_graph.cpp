#include "formats/onnx/to_plain_graph.h"

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "formats/onnx/op_patterns.h"
#include "formats/onnx/op_versions.h"
#include "formats/onnx/proto_types.h"
#include "graph/infer.h"
#include "graph/ops.h"
#include "laconic/error.h"

namespace laconic::onnx_file {
namespace {

// The node's attributes and, where it has none, its schema's defaults.
Attributes AllAttributes(const Node& node) {
  Attributes all = node.attributes;
  for (const AttributeSchema& schema : FindOpSchema(node.op)->attributes) {
    all.emplace(schema.name, schema.default_value);
  }
  return all;
}

class PlainGraphBuilder {
 public:
  PlainGraphBuilder(const Graph& graph, int opset, OnnxQuantization quantization)
      : graph_(graph), quantization_(quantization), patterns_(MakePatterns(opset)) {
    for (const Node& node : graph.nodes()) {
      num_dequantizers_[node.inputs.empty() ? kNoValue : node.inputs[0]] += node.op == "DequantizeLinear" ? 1 : 0;
    }
    plain_.opset = opset;
    for (const Value& value : graph.values()) {
      names_.insert(value.name);
    }
  }

  PlainGraph Run() {
    for (const ValueId input : graph_.inputs()) {
      AddInput(input);
    }
    std::vector<const Pattern*> chosen;
    for (const Node& node : graph_.nodes()) {
      chosen.push_back(Choose(node));
      NoteUses(node, chosen.back());
    }
    for (const ValueId output : graph_.outputs()) {
      used_as_value_.insert(output);
    }
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const Node& node = graph_.nodes()[i];
      WithFrame([&] { return "node '" + graph_.name(node) + "'"; }, [&] { AddNode(node, chosen[i]); });
    }
    for (const ValueId output : graph_.outputs()) {
      if (graph_.FindProducer(output) == nullptr) {
        Fail(ErrorCode::kUnsupported, "output '", graph_.value(output).name, "' is not computed by any node");
      }
      plain_.outputs.push_back({PlainOf(output), graph_.value(output).type});
    }
    return std::move(plain_);
  }

 private:
  void AddInput(ValueId input) {
    const Value& value = graph_.value(input);
    PlainValue plain{value.name};
    plain.is_input = true;
    ValueType type = value.type;
    if (value.name == kOptionalInput && type.dtype == DType::kS64 && type.shape.size() == 2) {
      plain.constant = Tensor::FromValues<std::int64_t>({1, 1}, std::vector<std::int64_t>{0});
      for (Dim& dim : type.shape) {
        dim.symbol += dim.is_fixed() ? "" : kOptionalSuffix;
      }
    }
    plain_of_[input] = plain_.AddValue(std::move(plain));
    plain_.inputs.push_back({plain_of_[input], std::move(type)});
  }

  // The pattern that stands for `node`; null where ONNX has the operator itself.
  const Pattern* Choose(const Node& node) const {
    const auto found = std::ranges::find_if(patterns_, [&](const Pattern& pattern) { return Fits(pattern, node); });
    if (found != patterns_.end()) {
      return &*found;
    }
    if (!IsPlainOp(node.op, plain_.opset)) {
      Fail(ErrorCode::kUnsupported, "node '", graph_.name(node), "': no way to write this ", node.op, " at opset ",
           plain_.opset);
    }
    return nullptr;
  }

  bool Fits(const Pattern& pattern, const Node& node) const {
    if (pattern.op() != node.op || !FitsAttributes(pattern, node)) {
      return false;
    }
    std::vector<ValueId> inputs = node.inputs;
    while (!inputs.empty() && inputs.back() == kNoValue) {
      inputs.pop_back();
    }
    return std::ranges::equal(pattern.inputs(), inputs, [this](const PatternInput& wanted, ValueId input) {
      return input != kNoValue && FitsInput(wanted, input);
    });
  }

  static bool FitsAttributes(const Pattern& pattern, const Node& node) {
    const Attributes all = AllAttributes(node);
    for (const AttributeSchema& schema : FindOpSchema(node.op)->attributes) {
      const auto fixed = pattern.fixed().find(schema.name);
      const Attribute& wanted = fixed == pattern.fixed().end() ? schema.default_value : fixed->second;
      if (!pattern.parameters().contains(std::string(schema.name)) && all.at(std::string(schema.name)) != wanted) {
        return false;
      }
    }
    return pattern.Admits(all);
  }

  bool FitsInput(const PatternInput& wanted, ValueId input) const {
    const Node* producer = graph_.FindProducer(input);
    const ValueType& type = graph_.value(input).type;
    switch (wanted.kind) {
      case InputKind::kAny:
        return (wanted.rank == 0 || static_cast<int>(type.shape.size()) == wanted.rank) &&
               (!wanted.is_bool || type.dtype == DType::kBool);
      case InputKind::kConstant:
        return static_cast<int>(type.shape.size()) == wanted.rank;
      case InputKind::kRows:
        return producer != nullptr && producer->op == "laconic.DynamicQuantize" &&
               StringAttribute(*producer, kGranularity) == kPerToken;
      case InputKind::kScalarRows:
        return producer != nullptr && IsScalarRows(*producer);
      case InputKind::kCodes:
        return producer != nullptr && IsCodes(*producer, wanted) && IntAttribute(*producer, kBlockSize) == 0;
      case InputKind::kBlocks:
        return producer != nullptr && IsCodes(*producer, wanted) && IsWholeBlocks(*producer);
    }
    return false;
  }

  bool IsWholeBlocks(const Node& node) const {
    const std::int64_t block = IntAttribute(node, kBlockSize);
    return block > 0 && graph_.FindInitializer(node.inputs[0])->shape()[1] % block == 0;
  }

  bool IsScalarRows(const Node& node) const {
    if (node.op == "laconic.DynamicQuantize") {
      return StringAttribute(node, kGranularity) == kPerTensor;
    }
    const bool is_asked_for = quantization_ == OnnxQuantization::kQOperator && node.op == "DequantizeLinear";
    const Node* quantize = is_asked_for ? graph_.FindProducer(node.inputs[0]) : nullptr;
    return quantize != nullptr && quantize->op == "QuantizeLinear" && quantize->inputs.size() == 3 &&
           node.inputs.size() == 3 &&
           std::ranges::equal(std::span(quantize->inputs).subspan(1), std::span(node.inputs).subspan(1)) &&
           IsScalar(node.inputs[1]) && IsScalar(node.inputs[2]) && node.attributes.empty() &&
           num_dequantizers_.at(node.inputs[0]) == 1;
  }

  bool IsScalar(ValueId value) const {
    const Tensor* constant = graph_.FindInitializer(value);
    return constant != nullptr && constant->shape().empty();
  }

  bool IsCodes(const Node& node, const PatternInput& wanted) const {
    if (node.op != "DequantizeLinear" || node.inputs.size() != wanted.refs.size() ||
        IntAttribute(node, "axis") != wanted.axis) {
      return false;
    }
    std::vector<const Tensor*> constants;
    std::ranges::transform(node.inputs, std::back_inserter(constants),
                           [this](ValueId input) { return graph_.FindInitializer(input); });
    return std::ranges::find(constants, nullptr) == constants.end() && AreCodes(wanted, constants);
  }

  void NoteUses(const Node& node, const Pattern* pattern) {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const bool plain = pattern == nullptr || i >= pattern->inputs().size();
      const InputKind kind = plain ? InputKind::kAny : pattern->inputs()[i].kind;
      const bool as_value = kind == InputKind::kAny || kind == InputKind::kConstant;
      (as_value ? used_as_value_ : used_as_integers_).insert(node.inputs[i]);
    }
  }

  void AddNode(const Node& node, const Pattern* pattern) {
    const ValueId output = node.outputs[0];
    const bool as_value = used_as_value_.contains(output);
    if (node.op == "laconic.DynamicQuantize" && as_value) {
      Fail(ErrorCode::kUnsupported,
           "ONNX gets a laconic.DynamicQuantize only with the laconic.Linear of 8-bit weights ",
           "that reads it; another node or an output reads this one");
    }
    if (!as_value && used_as_integers_.contains(output) && node.op == "DequantizeLinear") {
      return;  // those who read it read the codes
    }
    if (pattern == nullptr) {
      AddPlainNode(node);
    } else {
      AddPattern(node, *pattern);
    }
  }

  // Part of a shape, which Shape itself gives from opset 15 on.
  void AddSlicedShape(const Node& node) {
    const auto one = [&](std::int64_t value) {
      return Constant(Tensor::FromValues<std::int64_t>({1}, std::vector<std::int64_t>{value}));
    };
    const std::string name = UniqueName(graph_.name(node) + "/Shape");
    const ValueId whole = plain_.AddValue({name});
    plain_.nodes.push_back({node.op, name, {PlainOf(node.inputs[0])}, {whole}, {}, plain_.opset});
    const std::int64_t end =
        node.attributes.contains("end") ? IntAttribute(node, "end") : std::numeric_limits<std::int64_t>::max();
    const ValueId part = plain_of_[node.outputs[0]] = plain_.AddValue({graph_.name(node)});
    plain_.nodes.push_back(
        {"Slice", graph_.name(node), {whole, one(IntAttribute(node, "start")), one(end)}, {part}, {}, plain_.opset});
  }

  // Whether the opset has the node's attributes, their values, its inputs and their types.
  void CheckOpset(const Node& node) const {
    for (const auto& [name, value] : node.attributes) {
      const int since = FirstOpsetOfAttribute(node.op, name, value);
      if (plain_.opset < since) {
        const auto* text = std::get_if<std::string>(&value);
        Fail(ErrorCode::kUnsupported, "attribute '", name, text == nullptr ? "" : "' = '" + *text, "' of ", node.op,
             " needs opset ", since, ", got ", plain_.opset);
      }
    }
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue) {
        continue;
      }
      const DType dtype = graph_.value(node.inputs[i]).type.dtype;
      const int since = FirstOpsetOfInput(node.op, i, dtype);
      if (plain_.opset < since) {
        Fail(ErrorCode::kUnsupported, "input ", i, " (", ToString(dtype), ") of ", node.op, " needs opset ", since,
             ", got ", plain_.opset);
      }
    }
  }

  // Before opset 18 the parts of a Split without sizes are equal; since then the last may be smaller.
  void AddSplitSizes(const Node& node, PlainNode* plain) {
    const ValueType& type = graph_.value(node.inputs[0]).type;
    if (node.inputs.size() > 1 || !type.has_shape) {
      return;
    }
    const Dim& whole = type.shape[infer::Axis(node.attributes, 0, type.shape.size())];
    const auto parts = static_cast<std::int64_t>(node.outputs.size());
    if (!whole.is_fixed() || whole.size % parts == 0) {
      return;
    }
    std::vector<std::int64_t> sizes;
    for (std::int64_t i = 0; i < parts; ++i) {
      sizes.push_back(infer::PartSize(whole.size, parts, i));
    }
    plain->inputs.push_back(Constant(Tensor::FromValues<std::int64_t>({parts}, sizes)));
  }

  void AddPlainNode(const Node& node) {
    if (node.op == "Shape" && !node.attributes.empty() && plain_.opset < FirstOpsetOfAttribute("Shape", "start")) {
      AddSlicedShape(node);
      return;
    }
    PlainNode plain{node.op, graph_.name(node), {}, {}, node.attributes, plain_.opset};
    CheckOpset(node);
    const MovedAttribute* moved = FindMovedAttribute(node.op);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      if (moved != nullptr && plain_.opset < moved->since && i == static_cast<std::size_t>(moved->input)) {
        plain.attributes[std::string(moved->attribute)] = IntegersOf(input, node);
      } else {
        plain.inputs.push_back(input == kNoValue ? kNoValue : PlainOf(input));
      }
    }
    for (const char* name : {"to", "output_dtype", "softmax_precision"}) {
      const auto type = plain.attributes.find(name);
      if (type != plain.attributes.end()) {
        type->second = std::int64_t{ToProto(ParseDType(std::get<std::string>(type->second)))};
      }
    }
    if (node.op == "Split" && plain_.opset < 18) {
      plain.attributes.erase("num_outputs");  // it has as many as the node
      AddSplitSizes(node, &plain);
    }
    for (const ValueId output : node.outputs) {
      if (output != kNoValue) {
        plain_of_[output] = plain_.AddValue({graph_.value(output).name});
      }
      plain.outputs.push_back(output == kNoValue ? kNoValue : plain_of_[output]);
    }
    plain_.nodes.push_back(std::move(plain));
  }

  // What an older opset has as an attribute.
  std::vector<std::int64_t> IntegersOf(ValueId input, const Node& node) const {
    const Tensor* tensor = graph_.FindInitializer(input);
    if (tensor == nullptr || tensor->dtype() != DType::kS64) {
      Fail(ErrorCode::kUnsupported, "axes or sizes of ", node.op, " that are computed need a newer opset than ",
           plain_.opset);
    }
    const Tensor flat = tensor->Contiguous();
    return {flat.values<std::int64_t>().begin(), flat.values<std::int64_t>().end()};
  }

  void AddPattern(const Node& node, const Pattern& pattern) {
    std::vector<ValueId> bound(pattern.values().size(), kNoValue);
    Attributes attributes = AllAttributes(node);
    for (std::size_t i = 0; i < pattern.inputs().size(); ++i) {
      BindInput(pattern.inputs()[i], node.inputs[i], &bound);
      if (pattern.inputs()[i].kind == InputKind::kBlocks) {
        attributes[kBlockSize] = IntAttribute(*graph_.FindProducer(node.inputs[i]), kBlockSize);
      }
    }
    for (std::size_t ref = 0; ref < bound.size(); ++ref) {
      const PatternValue& value = pattern.values()[ref];
      if (const auto* constant = std::get_if<PatternConstant>(&value)) {
        bound[ref] = Constant(MakeConstant(*constant, attributes));
      } else if (const auto* sums = std::get_if<ColumnSums>(&value)) {
        const Ref zero = sums->zero_point;
        bound[ref] = SumsOf(bound[static_cast<std::size_t>(sums->matrix)],
                            zero == kAbsent ? kNoValue : bound[static_cast<std::size_t>(zero)]);
      } else if (const auto* computed = std::get_if<Computed>(&value)) {
        const PatternNode& inner = pattern.nodes()[static_cast<std::size_t>(computed->node)];
        if (computed->output != 0) {
          bound[ref] = plain_.AddValue({UniqueName(graph_.name(node) + "/" + inner.op)});
          plain_.nodes.back().outputs.push_back(bound[ref]);
          continue;
        }
        const bool is_last = static_cast<Ref>(ref) == pattern.output();
        const std::string name = is_last ? graph_.name(node) : UniqueName(graph_.name(node) + "/" + inner.op);
        bound[ref] = plain_.AddValue({name});
        PlainNode plain{inner.op, name, {}, {bound[ref]}, inner.attributes, plain_.opset};
        for (const Ref input : inner.inputs) {
          plain.inputs.push_back(input == kAbsent ? kNoValue : bound[static_cast<std::size_t>(input)]);
        }
        plain_.nodes.push_back(std::move(plain));
      }
    }
    plain_of_[node.outputs[0]] = bound[static_cast<std::size_t>(pattern.output())];
    for (const Ref more : pattern.more_outputs()) {
      more_of_[node.outputs[0]].push_back(bound[static_cast<std::size_t>(more)]);
    }
  }

  void BindInput(const PatternInput& wanted, ValueId input, std::vector<ValueId>* bound) {
    std::vector<ValueId> values = {};
    const Node* producer = graph_.FindProducer(input);
    const bool is_constant = wanted.kind == InputKind::kCodes || wanted.kind == InputKind::kBlocks;
    if (is_constant || (wanted.kind == InputKind::kScalarRows && producer->op == "DequantizeLinear")) {
      std::ranges::transform(producer->inputs, std::back_inserter(values), [this](ValueId id) { return PlainOf(id); });
      // Who reads the file makes the DequantizeLinear again, under its name.
      (is_constant ? plain_.value(values[0]).doc : PlainProducer(values[0]).doc) = graph_.value(input).name;
    } else {
      values = {PlainOf(input)};
      if (wanted.kind == InputKind::kRows || wanted.kind == InputKind::kScalarRows) {
        const std::vector<ValueId>& more = more_of_.at(input);
        values.insert(values.end(), more.begin(), more.end());
      }
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      (*bound)[static_cast<std::size_t>(wanted.refs[i])] = values[i];
    }
  }

  PlainNode& PlainProducer(ValueId id) {
    return *std::ranges::find_if(plain_.nodes, [id](const PlainNode& node) { return node.outputs[0] == id; });
  }

  ValueId PlainOf(ValueId id) {
    const auto found = plain_of_.find(id);
    if (found != plain_of_.end()) {
      return found->second;
    }
    const Tensor* constant = graph_.FindInitializer(id);
    if (constant == nullptr) {  // a pattern gives the first output alone
      Fail(ErrorCode::kUnsupported, "no way to write '", graph_.value(id).name, "', a further output of ",
           graph_.FindProducer(id)->op, ", at opset ", plain_.opset);
    }
    return plain_of_[id] = plain_.AddValue({graph_.value(id).name, *constant});
  }

  // Equal constants become one.
  ValueId Constant(Tensor tensor) {
    const auto bytes =
        std::string(reinterpret_cast<const char*>(tensor.data()), static_cast<std::size_t>(tensor.size_bytes()));
    const auto [found, is_new] = constants_.emplace(std::tuple(tensor.dtype(), tensor.shape(), bytes), kNoValue);
    if (is_new) {
      found->second = plain_.AddValue({UniqueName("constant"), std::move(tensor)});
    }
    return found->second;
  }

  ValueId SumsOf(ValueId matrix, ValueId zero_points) {
    const auto [found, is_new] = sums_of_.emplace(std::pair(matrix, zero_points), kNoValue);
    if (is_new) {
      const PlainValue& value = plain_.value(matrix);
      Tensor sums =
          MakeColumnSums(*value.constant, zero_points == kNoValue ? nullptr : &*plain_.value(zero_points).constant);
      found->second = plain_.AddValue({UniqueName(value.name + "/column_sums"), std::move(sums)});
    }
    return found->second;
  }

  std::string UniqueName(const std::string& wanted) {
    std::string name = wanted;
    for (int i = 1; !names_.insert(name).second; ++i) {
      name = wanted + "_" + std::to_string(i);
    }
    return name;
  }

  const Graph& graph_;
  const OnnxQuantization quantization_;
  const std::vector<Pattern> patterns_;
  PlainGraph plain_;
  std::unordered_map<ValueId, int> num_dequantizers_;  // of each value: DequantizeLinears that read it
  std::unordered_set<std::string> names_;
  std::unordered_set<ValueId> used_as_value_;
  std::unordered_set<ValueId> used_as_integers_;
  std::unordered_map<ValueId, ValueId> plain_of_;
  std::unordered_map<ValueId, std::vector<ValueId>> more_of_;  // of a laconic.DynamicQuantize: scales, zero points
  std::map<std::tuple<DType, Shape, std::string>, ValueId> constants_;
  std::map<std::pair<ValueId, ValueId>, ValueId> sums_of_;  // of codes and zero points
};

}  // namespace

PlainGraph ToPlainGraph(const Graph& graph, int opset, OnnxQuantization quantization) {
  return PlainGraphBuilder(graph, opset, quantization).Run();
}

}  // namespace laconic::onnx_file
