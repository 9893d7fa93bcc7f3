// The typed graph: what a model computes, with ONNX's meaning. Every compression method is a rewrite of it.
//
// A graph only grows: a node's inputs exist before it, so that its nodes are always in a valid order and it has no
// cycle. A rewrite (src/passes) walks one graph and builds another.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "tensor/tensor.h"

namespace laconic {

// One size of a shape: a number, or a name for what is known only when the model runs ("batch", "sequence").
struct Dim {
  std::int64_t size = -1;
  std::string symbol;  // empty for a number

  Dim() = default;
  Dim(std::int64_t fixed) : size(fixed) {}            // NOLINT(google-explicit-constructor): reads as a literal
  Dim(std::string name) : symbol(std::move(name)) {}  // NOLINT(google-explicit-constructor)
  Dim(const char* name) : symbol(name) {}             // NOLINT(google-explicit-constructor)
  bool is_fixed() const noexcept { return symbol.empty(); }
  bool is_unknown() const noexcept { return symbol == "?"; }
  bool operator==(const Dim&) const = default;
};
inline constexpr const char* kUnknownDim = "?";

struct ValueType {
  DType dtype = DType::kF32;
  std::vector<Dim> shape;
  bool has_shape = true;  // false: not even the number of dimensions is known before the model runs; `shape` is empty

  static ValueType Unshaped(DType dtype) { return {dtype, {}, false}; }
  bool has_rank(std::size_t rank) const noexcept { return has_shape && shape.size() == rank; }
  bool operator==(const ValueType&) const = default;
};

std::string ToString(const ValueType& type);  // "f32[batch, sequence, 384]"; "f32[...]" without a shape
// As the text form writes it: in quotes, which it may hold, like backslashes and line ends.
std::string Quoted(std::string_view name);
// In quotes only where it holds spaces or punctuation of the form: other than name characters.
bool IsNameCharacter(char c);
std::string QuoteName(std::string_view name);

using Attribute = std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>>;
using Attributes = std::map<std::string, Attribute, std::less<>>;
std::string_view TypeName(const Attribute& attribute);  // for messages: "an integer"

using ValueId = std::int32_t;
inline constexpr ValueId kNoValue = -1;  // an optional input that is absent

// What a node computes is told by its op's schema (ops.h). A node is called by its first output's name.
struct Node {
  std::string op;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;  // at least one; of the others kNoValue where an optional one is absent
  Attributes attributes;
};

struct Value {
  std::string name;
  ValueType type;
};

struct OpSchema;  // ops.h

class Graph {
 public:
  // Names are unique over all values. Errors: kInvalidFile for a name that is taken or empty.
  ValueId AddInput(std::string name, ValueType type);
  ValueId AddInitializer(std::string name, Tensor tensor);

  // Appends a node with one output, called `name`. Its type follows from the op's schema. Attributes that equal the
  // schema's default are dropped, so that a graph has one way to say a thing.
  // Errors: kUnsupported for an unknown op; kInvalidFile for inputs or attributes that the schema refuses; all name the
  // node.
  ValueId AddNode(std::string op, std::string name, std::vector<ValueId> inputs, Attributes attributes = {});
  // The same for several outputs; an empty name stands for an optional output that is absent (not the first).
  std::vector<ValueId> AddNode(std::string op, const std::vector<std::string>& names, std::vector<ValueId> inputs,
                               Attributes attributes = {});

  // `value` leaves the graph; its name is the output's name.
  void AddOutput(ValueId value);

  const std::vector<Value>& values() const noexcept { return values_; }
  const std::vector<Node>& nodes() const noexcept { return nodes_; }
  const std::vector<ValueId>& inputs() const noexcept { return inputs_; }
  const std::vector<ValueId>& outputs() const noexcept { return outputs_; }
  const std::map<ValueId, Tensor>& initializers() const noexcept { return initializers_; }

  const Value& value(ValueId id) const { return values_[static_cast<std::size_t>(id)]; }
  const std::string& name(const Node& node) const { return value(node.outputs[0]).name; }
  std::optional<ValueId> FindValue(std::string_view name) const;
  const Tensor* FindInitializer(ValueId id) const;  // null if `id` is computed or an input
  const Node* FindProducer(ValueId id) const;       // null if `id` is an input or initializer

 private:
  ValueId AddValue(std::string name, ValueType type);
  std::vector<const ValueType*> CheckInputs(const OpSchema& schema, const std::vector<ValueId>& inputs) const;

  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<ValueId> inputs_;
  std::vector<ValueId> outputs_;
  std::map<ValueId, Tensor> initializers_;
  std::unordered_map<std::string, ValueId> by_name_;
  std::vector<std::int32_t> producer_;  // of each value: index into nodes_, or -1
};

// Attributes with the schema's defaults. Precondition: the node was accepted by AddNode.
std::int64_t IntAttribute(const Node& node, std::string_view name);
float FloatAttribute(const Node& node, std::string_view name);
std::string StringAttribute(const Node& node, std::string_view name);

// For a rewrite: copies values of one graph into another on demand and remembers what became of each.
class GraphCopier {
 public:
  GraphCopier(const Graph& from, Graph* to);  // copies the inputs
  void Map(ValueId from, ValueId to) { map_[from] = to; }
  ValueId operator()(ValueId from);  // the value that `from` became; initializers are copied when first asked for
  void CopyNode(const Node& node);   // the node as it is
  void CopyOutputs();

 private:
  const Graph& from_;
  Graph& to_;
  std::unordered_map<ValueId, ValueId> map_;
};

}  // namespace laconic
