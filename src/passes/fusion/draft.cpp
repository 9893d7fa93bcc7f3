#include "passes/fusion/draft.h"

#include <algorithm>
#include <array>

#include "graph/model_io.h"
#include "graph/ops.h"
#include "laconic/error.h"

namespace laconic::passes::fusion {
namespace {

using Renames = std::map<std::string, std::string, std::less<>>;

constexpr std::array<const char*, 2> kTokenSizes = {"batch", "sequence"};

// Elements of all values together, of some 140 bytes each: a file may pass 64 of them through a million nodes. A model
// needs some thousand.
constexpr std::size_t kMaxKnownElements = std::size_t{1} << 20;

Renames FindRenames(const Graph& graph) {
  Renames renames;
  for (const ValueId input : graph.inputs()) {
    const Value& value = graph.value(input);
    if (!IsTokenInput(value.name) || !value.type.has_rank(2)) continue;
    for (std::size_t i = 0; i < 2; ++i) {
      const Dim& dim = value.type.shape[i];
      if (!dim.is_fixed() && !dim.is_unknown()) renames.try_emplace(dim.symbol, kTokenSizes[i]);
    }
  }
  return renames;
}

Size ToSize(const Dim& dim, const Renames& renames) {
  if (dim.is_fixed()) return dim.size;
  if (dim.is_unknown()) return {};
  const auto renamed = renames.find(dim.symbol);
  return Size::Named(renamed == renames.end() ? dim.symbol : renamed->second);
}

Facts ToFacts(const Value& value, const Renames& renames, bool is_input) {
  Facts facts{value.type.dtype, value.type.has_shape};
  const bool is_token_input = is_input && value.type.has_rank(2) && IsTokenInput(value.name);
  for (std::size_t i = 0; i < value.type.shape.size(); ++i) {
    const Dim& dim = value.type.shape[i];
    // The optional input of our own files may have one row for all (formats/onnx/to_plain_graph.h); so may be
    // another's.
    facts.shape.push_back(is_token_input && !dim.is_fixed() ? Size::Named(kTokenSizes[i]) : ToSize(dim, renames));
  }
  return facts;
}

std::size_t NumKnown(const Facts& facts) {
  if (!facts.has_shape) return 0;
  return 1 + static_cast<std::size_t>(std::ranges::count_if(facts.shape, &Size::is_known));
}

}  // namespace

Draft::Draft(const Graph& graph) {
  const Renames renames = FindRenames(graph);
  for (std::size_t i = 0; i < graph.values().size(); ++i) {
    const auto id = static_cast<ValueId>(i);
    const laconic::Value& value = graph.values()[i];
    Value own{value.name, ToFacts(value, renames, false)};
    if (const Tensor* tensor = graph.FindInitializer(id)) {
      own.constant = *tensor;
      own.facts = WithinBudget(FactsOf(*tensor));
    }
    names_.insert(value.name);
    values_.push_back(std::move(own));
  }
  for (const ValueId input : graph.inputs()) {
    values_[Index(input)].is_input = true;
    values_[Index(input)].facts = ToFacts(graph.value(input), renames, true);
  }
  inputs_ = graph.inputs();
  for (const Node& node : graph.nodes()) {
    const NodeId id = Append(node);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) continue;
      Value& output = values_[Index(node.outputs[i])];
      output.producer = id;
      Facts inferred = Infer(node, static_cast<int>(i), output.facts.dtype);
      if (NumKnown(inferred) >= NumKnown(output.facts)) output.facts = std::move(inferred);
    }
  }
  for (const ValueId output : graph.outputs()) {
    outputs_.push_back(output);
    ++values_[Index(output)].num_uses;
    ++values_[Index(output)].num_outputs;
  }
  for (NodeId id = num_nodes(); id-- > 0;) {
    RemoveIfUnused(id);
  }
}

Facts Draft::WithinBudget(Facts facts) {
  const std::size_t count = facts.elements ? facts.elements->size() : 0;
  if (count > kMaxKnownElements - num_known_elements_) {
    facts.elements.reset();
  } else {
    num_known_elements_ += count;
  }
  return facts;
}

Facts Draft::Infer(const Node& node, int output, DType dtype) {
  std::vector<const Facts*> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(input == kNoValue ? nullptr : &facts(input));
  }
  return WithinBudget(InferFacts(node, output, dtype, inputs));
}

const Node* Draft::FindNode(NodeId id) const {
  const std::optional<Node>& node = nodes_[static_cast<std::size_t>(id)];
  return node ? &*node : nullptr;
}

const Node* Draft::Producer(ValueId value) const {
  const NodeId id = value == kNoValue ? -1 : values_[Index(value)].producer;
  return id < 0 ? nullptr : FindNode(id);
}

const Node* Draft::Producer(ValueId value, std::string_view op) const {
  const Node* node = Producer(value);
  return node != nullptr && node->op == op ? node : nullptr;
}

std::vector<const Node*> Draft::ReadersOf(ValueId value) const {
  std::vector<const Node*> readers;
  for (const NodeId id : values_[Index(value)].readers) {
    const Node* node = FindNode(id);
    if (node != nullptr && std::ranges::find(node->inputs, value) != node->inputs.end()) readers.push_back(node);
  }
  return readers;
}

const Tensor* Draft::Constant(ValueId value) const {
  return value == kNoValue || !values_[Index(value)].constant ? nullptr : &*values_[Index(value)].constant;
}

std::optional<ValueId> Draft::FindInput(std::string_view name) const {
  const auto found = std::ranges::find_if(inputs_, [&](ValueId id) { return this->name(id) == name; });
  return found == inputs_.end() ? std::nullopt : std::optional(*found);
}

std::optional<double> Draft::Scalar(ValueId value) const {
  const Tensor* tensor = Constant(value);
  if (tensor == nullptr || tensor->num_elements() != 1) return std::nullopt;
  switch (tensor->dtype()) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      return tensor->ToF32().data_as<float>()[0];
    case DType::kF64:
      return tensor->data_as<double>()[0];
    case DType::kS64:
      return static_cast<double>(tensor->data_as<std::int64_t>()[0]);
    case DType::kS32:
      return tensor->data_as<std::int32_t>()[0];
    default:
      return std::nullopt;
  }
}

ValueId Draft::AddValue(Value value) {
  values_.push_back(std::move(value));
  return static_cast<ValueId>(values_.size()) - 1;
}

std::string Draft::Unique(std::string_view name) {
  std::string unique(name);
  while (!names_.insert(unique).second) {
    unique =
        std::string(name) + "_" + std::to_string(++num_renamed_);  // one counter for all names: no quadratic search
  }
  return unique;
}

ValueId Draft::AddConstant(std::string_view name, Tensor tensor) {
  Value value{Unique(name), WithinBudget(FactsOf(tensor))};
  value.constant = std::move(tensor);
  return AddValue(std::move(value));
}

NodeId Draft::Append(Node node) {
  const NodeId id = num_nodes();
  for (const ValueId input : node.inputs) {
    if (input == kNoValue) continue;
    ++values_[Index(input)].num_uses;
    values_[Index(input)].readers.push_back(id);
  }
  nodes_.emplace_back(std::move(node));
  return id;
}

ValueId Draft::AddNode(std::string op, std::string_view name, std::vector<ValueId> inputs, Attributes attributes) {
  const OpSchema* schema = FindOpSchema(op);
  if (schema == nullptr) Fail(ErrorCode::kInternal, "operator '", op, "' is not known");
  // Types without shapes: the element type is all that is asked for.
  std::vector<ValueType> types;
  types.reserve(inputs.size());
  for (const ValueId input : inputs) {
    types.push_back(ValueType::Unshaped(input == kNoValue ? DType::kF32 : facts(input).dtype));
  }
  std::vector<const ValueType*> places;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    places.push_back(inputs[i] == kNoValue ? nullptr : &types[i]);
  }
  Node node{std::move(op), std::move(inputs), {}, std::move(attributes)};
  const ValueId output = AddValue({Unique(name), {}});
  values_.back().facts = Infer(node, 0, schema->infer(places, node.attributes, 0).dtype);
  node.outputs = {output};
  values_.back().producer = Append(std::move(node));
  return output;
}

void Draft::Replace(ValueId old, ValueId replacement) {
  if (old == replacement) return;
  Value& from = values_[Index(old)];
  if (from.num_outputs > 0) {
    if (Producer(replacement) == nullptr || IsOutput(replacement)) {
      replacement = AddNode("Identity", from.name, {replacement});
    } else if (num_uses(replacement) > 0) {
      std::swap(from.name, values_[Index(replacement)].name);  // an output's name is a promise
    }
  }
  Value& to = values_[Index(replacement)];
  if (to.num_uses == 0) std::swap(from.name, to.name);  // made for this: the new node is known by the old one's name
  if (NumKnown(to.facts) < NumKnown(from.facts)) to.facts = from.facts;
  const std::vector<NodeId> readers = std::move(from.readers);
  from.readers.clear();
  std::int64_t moved = 0;
  for (const NodeId reader : readers) {
    std::optional<Node>& node = nodes_[static_cast<std::size_t>(reader)];
    if (!node || (!node->outputs.empty() && node->outputs[0] == replacement)) {
      if (node) from.readers.push_back(reader);  // it keeps reading what it was made from
      continue;
    }
    for (ValueId& input : node->inputs) {
      if (input != old) continue;
      input = replacement;
      to.readers.push_back(reader);
      ++moved;
    }
  }
  std::ranges::replace(outputs_, old, replacement);
  moved += from.num_outputs;
  to.num_outputs += std::exchange(from.num_outputs, 0);
  to.num_uses += moved;
  from.num_uses -= moved;
  if (from.producer >= 0) RemoveIfUnused(from.producer);
}

ValueId Draft::Rewrite(ValueId old, std::string op, std::vector<ValueId> inputs, Attributes attributes) {
  const ValueId made = AddNode(std::move(op), name(old), std::move(inputs), std::move(attributes));
  Replace(old, made);
  return made;
}

void Draft::Rename(ValueId value, std::string_view name) { values_[Index(value)].name = Unique(name); }

void Draft::RemoveIfUnused(NodeId id) {
  std::vector<NodeId> pending = {id};
  while (!pending.empty()) {
    std::optional<Node>& node = nodes_[static_cast<std::size_t>(pending.back())];
    pending.pop_back();
    const bool is_used = !node || std::ranges::any_of(node->outputs, [this](ValueId output) {
      return output != kNoValue && values_[Index(output)].num_uses > 0;
    });
    if (is_used) continue;
    for (const ValueId input : node->inputs) {
      if (input == kNoValue) continue;
      Value& value = values_[Index(input)];
      if (--value.num_uses == 0 && value.producer >= 0) pending.push_back(value.producer);
      if (value.num_uses == 0) value.readers.clear();
    }
    node.reset();
  }
}

Graph Draft::Finish() const {
  Graph graph;
  std::vector<ValueId> map(values_.size(), kNoValue);
  const auto is_mapped = [&](ValueId id) { return id == kNoValue || map[Index(id)] != kNoValue; };
  for (const ValueId input : inputs_) {
    ValueType type{facts(input).dtype, {}, facts(input).has_shape};
    std::ranges::transform(facts(input).shape, std::back_inserter(type.shape), &Size::ToDim);
    map[Index(input)] = graph.AddInput(name(input), std::move(type));
  }
  // Depth first, without recursion: a file's graph may be a chain of any length.
  std::vector<ValueId> pending(outputs_.rbegin(), outputs_.rend());
  while (!pending.empty()) {
    const ValueId id = pending.back();
    if (is_mapped(id)) {
      pending.pop_back();
      continue;
    }
    if (const Tensor* constant = Constant(id)) {
      map[Index(id)] = graph.AddInitializer(name(id), *constant);
      continue;
    }
    const Node& node = *Producer(id);
    const std::size_t before = pending.size();
    for (auto input = node.inputs.rbegin(); input != node.inputs.rend(); ++input) {
      if (!is_mapped(*input)) pending.push_back(*input);
    }
    if (pending.size() == before) {
      AddTo(&graph, node, &map);
    }
  }
  for (const ValueId output : outputs_) {
    graph.AddOutput(map[Index(output)]);
  }
  return graph;
}

void Draft::AddTo(Graph* graph, const Node& node, std::vector<ValueId>* map) const {
  std::vector<ValueId> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(input == kNoValue ? kNoValue : (*map)[Index(input)]);
  }
  std::vector<std::string> names;
  for (const ValueId output : node.outputs) {
    names.push_back(output == kNoValue ? "" : name(output));
  }
  const std::vector<ValueId> outputs = graph->AddNode(node.op, names, std::move(inputs), node.attributes);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (node.outputs[i] != kNoValue) (*map)[Index(node.outputs[i])] = outputs[i];
  }
}

}  // namespace laconic::passes::fusion
