// A node of a file on its way into our graph: what the functions that rewrite operators (upgrade.cpp,
// microsoft_ops.cpp) work with. A rewrite adds inner nodes, and lastly one that computes each output.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "formats/onnx/plain_graph.h"

namespace laconic::onnx_file {

// The graph that is being built from a plain one.
//
// Half precision (f16, bf16) is how a file stores numbers, not how we compute: an operator on such values reads them
// cast to f32 and computes in f32; the file's own Casts round as they say.
class GraphImport {
 public:
  explicit GraphImport(const PlainGraph& plain);

  Graph& graph() noexcept { return graph_; }
  const Graph& graph() const noexcept { return graph_; }
  const PlainGraph& plain() const noexcept { return plain_; }

  void AddInput(const PlainPort& input);
  // Errors: those of Graph::AddNode, kUnsupported for an operator that is not known; all name the node.
  void AddNode(const PlainNode& plain);
  void AddOutputs();

  // What became of a value of the file; an initializer is added when first asked for.
  // Errors: kUnsupported for one that lies inside a recognised pattern.
  ValueId ValueOf(ValueId plain);
  void SetValue(ValueId plain, ValueId value) { values_[plain] = value; }
  bool IsOutput(ValueId plain) const { return outputs_.contains(plain); }

  // The one element of an initializer of shape [1] as a scalar; what is not one, as it is.
  ValueId ScalarOf(ValueId plain);
  // As f32 where it is of half precision.
  ValueId Widened(ValueId value);
  // `value` is of our graph.
  int RankOf(ValueId value) const;  // -1 if it is not known
  std::vector<ValueId> Add(std::string op, const std::vector<std::string>& names, std::vector<ValueId> inputs,
                           Attributes attributes);
  std::string UniqueName(const std::string& wanted);
  // The name for a node's output: the file's, but for an output of half precision, which a Cast computes in the end.
  std::string NameOf(ValueId plain);

 private:
  const PlainGraph& plain_;
  Graph graph_;
  std::unordered_map<ValueId, ValueId> values_;   // of the plain graph -> of ours
  std::unordered_map<ValueId, ValueId> widened_;  // of ours
  std::unordered_map<ValueId, ValueId> scalars_;  // of the plain graph -> of ours
  std::unordered_map<ValueId, int> ranks_;        // of ours, where the type does not tell
  std::unordered_set<ValueId> outputs_;           // of the plain graph
  std::unordered_set<ValueId> half_outputs_;
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, int> num_called_;
};

class NodeImport {
 public:
  NodeImport(GraphImport* graph, const PlainNode& node) : graph_(*graph), node_(node), attributes_(node.attributes) {}

  const PlainNode& node() const noexcept { return node_; }
  std::size_t num_outputs() const noexcept { return node_.outputs.size(); }

  bool Has(std::size_t input) const { return input < node_.inputs.size() && node_.inputs[input] != kNoValue; }
  bool HasOutput(std::size_t output) const { return output < num_outputs() && node_.outputs[output] != kNoValue; }
  // kNoValue where absent; of half precision only as Raw.
  ValueId Input(std::size_t input);
  ValueId Raw(std::size_t input);
  // Errors: kInvalidFile where absent.
  ValueId Needed(std::size_t input);
  ValueId NeededRaw(std::size_t input);
  ValueId ScalarOf(std::size_t input) {
    return Has(input) ? graph_.Widened(graph_.ScalarOf(node_.inputs[input])) : kNoValue;
  }
  std::vector<ValueId> Inputs();
  // The input's elements where it is an initializer; null otherwise.
  const Tensor* Constant(std::size_t input);
  const Tensor* ConstantOf(ValueId value) const { return graph_.graph().FindInitializer(value); }
  const Node* Producer(ValueId value) const { return graph_.graph().FindProducer(value); }
  const ValueType& TypeOf(ValueId value) const { return graph_.graph().value(value).type; }
  const std::string& NameOf(ValueId value) const { return graph_.graph().value(value).name; }
  int RankOf(ValueId value) const { return graph_.RankOf(value); }

  // Attributes leave the node as they are asked for. Errors: kInvalidFile for one of another type.
  std::int64_t TakeInt(std::string_view name, std::int64_t by_default);
  float TakeFloat(std::string_view name, float by_default);
  std::string TakeString(std::string_view name, std::string by_default);
  std::vector<std::int64_t> TakeInts(std::string_view name);
  // The same for what must have one value. Errors: kUnsupported for another.
  void Expect(std::string_view name, std::int64_t value);
  Attributes TakeAll() { return std::exchange(attributes_, {}); }
  bool HasAttribute(std::string_view name) const { return attributes_.contains(name); }

  ValueId Add(const std::string& op, std::vector<ValueId> inputs, Attributes attributes = {});
  std::vector<ValueId> AddSeveral(const std::string& op, int num_outputs, std::vector<ValueId> inputs);
  ValueId AddConstant(const std::string& suffix, Tensor tensor);
  ValueId Scalar(float value);
  ValueId Integers(std::vector<std::int64_t> values);

  // The last node: all outputs, or output number `output`. Errors: kUnsupported for attributes that nobody took.
  void Result(const std::string& op, std::vector<ValueId> inputs, Attributes attributes = {});
  void Output(std::size_t output, const std::string& op, std::vector<ValueId> inputs, Attributes attributes = {});
  // Output 0 is `value`, which is one already.
  void ResultIs(ValueId value);
  // Errors: kUnsupported for attributes that nobody took.
  void CheckAllTaken() const;

 private:
  std::string InnerName(const std::string& suffix);  // "output/suffix"

  GraphImport& graph_;
  const PlainNode& node_;
  Attributes attributes_;
};

// softmax(query · keyᵀ · scale + mask?) · value as MatMuls, by which the fusion passes tell masks; the node's last.
// `inputs`, query, key and value, are [B, S, heads · width], or [B, heads, S, width] where `heads` is 0.
void AttentionOfMatMuls(NodeImport* node, std::vector<ValueId> inputs, std::int64_t heads, float scale, ValueId mask);

// Rewrites older forms and operators that have a plain equivalent; false for an operator that it knows nothing of.
bool Upgrade(NodeImport* node);

}  // namespace laconic::onnx_file
