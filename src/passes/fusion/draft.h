// A graph that rewrites change in place, with what is known of each value's shape, whatever the file says of it.
//
// Nodes and values are never moved, so that references stay valid while a pass runs; what nobody reads any more goes
// at once. Each step is O(1) or O(inputs), so that a pass over all nodes is linear in the graph.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "graph/graph.h"
#include "passes/fusion/symbolic_shapes.h"

namespace laconic::passes::fusion {

using NodeId = std::int32_t;

class Draft {
 public:
  // Sizes of the inputs that all models have (ids and masks) are called "batch" and "sequence" whatever the file calls
  // them, and so are they wherever else that name occurs.
  explicit Draft(const Graph& graph);

  // The nodes that the outputs need, each after what it reads. Errors: those of Graph::AddNode.
  Graph Finish() const;

  // --- reading ------------------------------------------------------------------------------------------------------

  NodeId num_nodes() const noexcept { return static_cast<NodeId>(nodes_.size()); }
  const Node* FindNode(NodeId id) const;  // null once it is gone
  const Node* Producer(ValueId value) const;
  const Node* Producer(ValueId value, std::string_view op) const;  // null if another op computes it
  const Tensor* Constant(ValueId value) const;                     // null if computed or an input
  const Facts& facts(ValueId value) const { return values_[Index(value)].facts; }
  const std::string& name(ValueId value) const { return values_[Index(value)].name; }
  bool IsInput(ValueId value) const { return values_[Index(value)].is_input; }
  bool IsOutput(ValueId value) const { return values_[Index(value)].num_outputs > 0; }
  std::int64_t num_uses(ValueId value) const { return values_[Index(value)].num_uses; }
  std::vector<const Node*> ReadersOf(ValueId value) const;
  const std::vector<ValueId>& inputs() const noexcept { return inputs_; }
  std::optional<ValueId> FindInput(std::string_view name) const;

  // The one element of a constant, as a number; null for anything else.
  std::optional<double> Scalar(ValueId value) const;
  // The elements of a small integer tensor, if they are known numbers.
  std::optional<std::vector<std::int64_t>> Integers(ValueId value) const {
    return value == kNoValue ? std::nullopt : Numbers(facts(value));
  }

  // --- changing -----------------------------------------------------------------------------------------------------

  ValueId AddConstant(std::string_view name, Tensor tensor);
  ValueId AddNode(std::string op, std::string_view name, std::vector<ValueId> inputs, Attributes attributes = {});
  // All that reads `old` reads `replacement` from now on. A replacement that nothing read yet, or one of an output,
  // takes the name.
  void Replace(ValueId old, ValueId replacement);
  // A new node in place of `old`, under its name.
  ValueId Rewrite(ValueId old, std::string op, std::vector<ValueId> inputs, Attributes attributes = {});
  void Rename(ValueId value, std::string_view name);

  // Why the node that computes `value` was left as it is: for people. The last reason counts.
  void Note(ValueId value, std::string why) { notes_[value] = std::move(why); }
  const std::map<ValueId, std::string>& notes() const noexcept { return notes_; }

 private:
  struct Value {
    std::string name;
    Facts facts;
    std::optional<Tensor> constant = {};
    NodeId producer = -1;
    std::vector<NodeId> readers = {};  // may hold nodes that no longer read it
    std::int64_t num_uses = 0;         // inputs of nodes and outputs of the graph
    std::int64_t num_outputs = 0;
    bool is_input = false;
  };
  static std::size_t Index(ValueId id) { return static_cast<std::size_t>(id); }
  ValueId AddValue(Value value);
  NodeId Append(Node node);
  Facts Infer(const Node& node, int output, DType dtype);
  Facts WithinBudget(Facts facts);  // without elements once all values together know too many
  void RemoveIfUnused(NodeId id);
  std::string Unique(std::string_view name);
  void AddTo(Graph* graph, const Node& node, std::vector<ValueId>* map) const;

  std::deque<Value> values_;
  std::deque<std::optional<Node>> nodes_;
  std::vector<ValueId> inputs_;
  std::vector<ValueId> outputs_;
  std::unordered_set<std::string> names_;
  std::int64_t num_renamed_ = 0;
  std::size_t num_known_elements_ = 0;
  std::map<ValueId, std::string> notes_;
};

// Calls rewrite(node), which returns whether it changed the draft, for each node there is now and still is when its
// turn comes; whether any call did. What the calls add comes in the next round.
template <typename Rewrite>
bool RewriteEach(Draft* draft, Rewrite&& rewrite) {
  bool changed = false;
  for (NodeId id = 0, end = draft->num_nodes(); id < end; ++id) {
    const Node* node = draft->FindNode(id);
    changed = (node != nullptr && rewrite(*node)) || changed;
  }
  return changed;
}

}  // namespace laconic::passes::fusion
