#include "graph/graph.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "graph/ops.h"
#include "laconic/error.h"

namespace laconic {
namespace {

const OpSchema& SchemaOf(std::string_view op) {
  const OpSchema* schema = FindOpSchema(op);
  if (schema == nullptr) {
    Fail(ErrorCode::kUnsupported, "operator '", op, "' is not known");
  }
  return *schema;
}

const AttributeSchema* FindAttributeSchema(const OpSchema& schema, std::string_view name) {
  const auto found = std::ranges::find(schema.attributes, name, &AttributeSchema::name);
  return found == schema.attributes.end() ? nullptr : &*found;
}

void CheckAttributes(const OpSchema& schema, Attributes* attributes) {
  for (auto it = attributes->begin(); it != attributes->end();) {
    const AttributeSchema* known = FindAttributeSchema(schema, it->first);
    if (known == nullptr) {
      Fail(ErrorCode::kInvalidFile, "attribute '", it->first, "' is not one of ", schema.op, "'s");
    }
    if (known->default_value.index() != it->second.index()) {
      Fail(ErrorCode::kInvalidFile, "attribute '", it->first, "' of ", schema.op, ": expected ",
           TypeName(known->default_value), ", got ", TypeName(it->second));
    }
    it = !known->required && it->second == known->default_value ? attributes->erase(it) : std::next(it);
  }
  for (const AttributeSchema& known : schema.attributes) {
    if (known.required && !attributes->contains(known.name)) {
      Fail(ErrorCode::kInvalidFile, schema.op, " needs the attribute '", known.name, "'");
    }
  }
}

template <typename T>
T AttributeOr(const Node& node, std::string_view name) {
  const auto found = node.attributes.find(name);
  if (found != node.attributes.end()) {
    return std::get<T>(found->second);
  }
  const AttributeSchema* known = FindAttributeSchema(SchemaOf(node.op), name);
  if (known == nullptr) {
    Fail(ErrorCode::kInternal, node.op, " has no attribute '", name, "'");
  }
  return std::get<T>(known->default_value);
}

}  // namespace

std::string_view TypeName(const Attribute& attribute) {
  constexpr std::array<std::string_view, std::variant_size_v<Attribute>> kNames = {"an integer", "a float", "a string",
                                                                                   "integers"};
  return kNames[attribute.index()];
}

std::string Quoted(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '\n') {
      quoted += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') {
      quoted += '\\';
    }
    quoted += c;
  }
  return quoted + '"';
}

bool IsNameCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '/' || c == '-' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string QuoteName(std::string_view name) {
  if (!name.empty() && name != "_" && name != "..." && std::ranges::all_of(name, IsNameCharacter)) {
    return std::string(name);
  }
  return Quoted(name);
}

std::string ToString(const ValueType& type) {
  std::string text = std::string(ToString(type.dtype)) + "[";
  for (std::size_t i = 0; i < type.shape.size(); ++i) {
    const Dim& dim = type.shape[i];
    const bool as_number = !dim.is_fixed() && std::isdigit(static_cast<unsigned char>(dim.symbol[0])) != 0;
    text += i == 0 ? "" : ", ";
    text += dim.is_fixed() ? std::to_string(dim.size) : as_number ? Quoted(dim.symbol) : QuoteName(dim.symbol);
  }
  return text + (type.has_shape ? "]" : "...]");
}

ValueId Graph::AddValue(std::string name, ValueType type) {
  if (name.empty()) {
    Fail(ErrorCode::kInvalidFile, "a value without a name");
  }
  const auto id = static_cast<ValueId>(values_.size());
  if (!by_name_.emplace(name, id).second) {
    Fail(ErrorCode::kInvalidFile, "two values are called '", name, "'");
  }
  values_.push_back({std::move(name), std::move(type)});
  producer_.push_back(-1);
  return id;
}

ValueId Graph::AddInput(std::string name, ValueType type) {
  inputs_.push_back(AddValue(std::move(name), std::move(type)));
  return inputs_.back();
}

ValueId Graph::AddInitializer(std::string name, Tensor tensor) {
  const ValueId id =
      AddValue(std::move(name), {tensor.dtype(), std::vector<Dim>(tensor.shape().begin(), tensor.shape().end())});
  initializers_.emplace(id, std::move(tensor));
  return id;
}

ValueId Graph::AddNode(std::string op, std::string name, std::vector<ValueId> inputs, Attributes attributes) {
  return AddNode(std::move(op), std::vector<std::string>{std::move(name)}, std::move(inputs), std::move(attributes))[0];
}

std::vector<ValueId> Graph::AddNode(std::string op, const std::vector<std::string>& names, std::vector<ValueId> inputs,
                                    Attributes attributes) {
  return WithFrame(
      [&] { return "node '" + (names.empty() ? op : names[0]) + "'"; },
      [&] {
        const OpSchema& schema = SchemaOf(op);
        const std::vector<const ValueType*> types = CheckInputs(schema, inputs);
        CheckAttributes(schema, &attributes);
        const auto num_outputs = static_cast<int>(names.size());
        if (num_outputs < 1 || num_outputs > schema.max_outputs) {
          Fail(ErrorCode::kInvalidFile, op, " has 1 to ", schema.max_outputs, " outputs, got ", num_outputs);
        }
        std::vector<ValueType> outputs;  // before any is added, since that moves what `types` points at
        outputs.reserve(names.size());
        for (int i = 0; i < num_outputs; ++i) {
          outputs.push_back(schema.infer(types, attributes, i));
        }
        Node node{std::move(op), std::move(inputs), {}, std::move(attributes)};
        for (std::size_t i = 0; i < names.size(); ++i) {
          const bool absent = i > 0 && names[i].empty();
          node.outputs.push_back(absent ? kNoValue : AddValue(names[i], std::move(outputs[i])));
          if (!absent) {
            producer_[static_cast<std::size_t>(node.outputs.back())] = static_cast<std::int32_t>(nodes_.size());
          }
        }
        nodes_.push_back(std::move(node));
        return nodes_.back().outputs;
      });
}

std::vector<const ValueType*> Graph::CheckInputs(const OpSchema& schema, const std::vector<ValueId>& inputs) const {
  const auto num_inputs = static_cast<int>(inputs.size());
  if (num_inputs < schema.min_inputs || num_inputs > schema.max_inputs) {
    Fail(ErrorCode::kInvalidFile, schema.op, " takes ", schema.min_inputs, " to ", schema.max_inputs, " inputs, got ",
         num_inputs);
  }
  std::vector<const ValueType*> types;
  for (const ValueId id : inputs) {
    if (id < kNoValue || id >= static_cast<ValueId>(values_.size())) {
      Fail(ErrorCode::kInternal, "input ", types.size(), " of ", schema.op, " does not exist");
    }
    types.push_back(id == kNoValue ? nullptr : &value(id).type);
    const bool is_needed = static_cast<int>(types.size()) <= schema.min_inputs || schema.max_inputs == kAnyNumber;
    if (id == kNoValue && is_needed) {
      Fail(ErrorCode::kInvalidFile, "input ", types.size() - 1, " of ", schema.op, " is missing");
    }
  }
  return types;
}

void Graph::AddOutput(ValueId value) { outputs_.push_back(value); }

std::optional<ValueId> Graph::FindValue(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

const Tensor* Graph::FindInitializer(ValueId id) const {
  const auto found = initializers_.find(id);
  return found == initializers_.end() ? nullptr : &found->second;
}

const Node* Graph::FindProducer(ValueId id) const {
  const std::int32_t index = id == kNoValue ? -1 : producer_[static_cast<std::size_t>(id)];
  return index < 0 ? nullptr : &nodes_[static_cast<std::size_t>(index)];
}

std::int64_t IntAttribute(const Node& node, std::string_view name) { return AttributeOr<std::int64_t>(node, name); }
float FloatAttribute(const Node& node, std::string_view name) { return AttributeOr<float>(node, name); }
std::string StringAttribute(const Node& node, std::string_view name) { return AttributeOr<std::string>(node, name); }

GraphCopier::GraphCopier(const Graph& from, Graph* to) : from_(from), to_(*to) {
  for (const ValueId input : from.inputs()) {
    map_[input] = to_.AddInput(from.value(input).name, from.value(input).type);
  }
}

ValueId GraphCopier::operator()(ValueId from) {
  if (from == kNoValue) {
    return kNoValue;
  }
  const auto found = map_.find(from);
  if (found != map_.end()) {
    return found->second;
  }
  const Tensor* tensor = from_.FindInitializer(from);
  if (tensor == nullptr) {
    Fail(ErrorCode::kInternal, "value '", from_.value(from).name, "' was not copied");
  }
  return map_[from] = to_.AddInitializer(from_.value(from).name, *tensor);
}

void GraphCopier::CopyNode(const Node& node) {
  std::vector<ValueId> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back((*this)(input));
  }
  std::vector<std::string> names;
  for (const ValueId output : node.outputs) {
    names.push_back(output == kNoValue ? "" : from_.value(output).name);
  }
  const std::vector<ValueId> outputs = to_.AddNode(node.op, names, std::move(inputs), node.attributes);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] != kNoValue) {
      map_[node.outputs[i]] = outputs[i];
    }
  }
}

void GraphCopier::CopyOutputs() {
  for (const ValueId output : from_.outputs()) {
    to_.AddOutput((*this)(output));
  }
}

}  // namespace laconic
