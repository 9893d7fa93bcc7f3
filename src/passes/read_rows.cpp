#include "passes/read_rows.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "graph/ops.h"
#include "passes/attention.h"

namespace laconic::passes {
namespace {

bool IsOneNumber(const Graph& graph, const Node& node, std::size_t input) {
  if (node.inputs.size() <= input || node.inputs[input] == kNoValue) {
    return true;
  }
  const Tensor* tensor = graph.FindInitializer(node.inputs[input]);
  return tensor != nullptr && tensor->num_elements() == 1;
}

bool IsRow(const Graph& graph, ValueId value) {
  const Tensor* tensor = graph.FindInitializer(value);
  return tensor != nullptr && tensor->shape().size() <= 1;
}

bool IsOverColumns(const Graph& graph, const Node& normalization) {
  const std::int64_t axis = IntAttribute(normalization, "axis");
  return (axis == -1 || axis == 2) && std::all_of(normalization.inputs.begin() + 1, normalization.inputs.end(),
                                                  [&](ValueId input) { return IsRow(graph, input); });
}

// Places in a node's inputs.
using Places = std::vector<std::size_t>;

// Of a sum or product of two values of one type, or of one and a row of constants.
Places TokensOfBinary(const Graph& graph, const Node& node) {
  const ValueId a = node.inputs[0];
  const ValueId b = node.inputs[1];
  if (IsRow(graph, a) || IsRow(graph, b)) {
    return {IsRow(graph, a) ? 1U : 0U};
  }
  const bool are_alike = graph.value(a).type == graph.value(b).type && graph.FindInitializer(a) == nullptr &&
                         graph.FindInitializer(b) == nullptr;
  return are_alike ? Places{0, 1} : Places();
}

// The inputs of which each token's output needs that token alone; none if the node is not of that kind.
Places TokenInputs(const Graph& graph, const Node& node) {
  const std::string& op = node.op;
  if (node.outputs.size() != 1 || !graph.value(node.outputs[0]).type.has_rank(3)) {
    return {};
  }
  if (op == "Add" || op == "Mul") {
    return TokensOfBinary(graph, node);
  }
  if (graph.FindInitializer(node.inputs[0]) != nullptr) {
    return {};
  }
  const bool is_alone = op == "Gelu" || op == "Relu" || op == "Tanh" || op == "laconic.Linear" ||
                        (op == "LayerNormalization" && IsOverColumns(graph, node)) ||
                        (op == "laconic.DynamicQuantize" && StringAttribute(node, kGranularity) == kPerToken) ||
                        ((op == "QuantizeLinear" || op == "DequantizeLinear" || op == "Clip") &&
                         IsOneNumber(graph, node, 1) && IsOneNumber(graph, node, 2)) ||
                        HasFreeQueries(graph, node);
  return is_alone ? Places{0} : Places();
}

bool Contains(const Places& places, std::size_t place) { return std::ranges::find(places, place) != places.end(); }

// Cheap: computed once more for the tokens that are read, so that only rows of f32 are carried over.
bool IsQuantizer(const Node& node) {
  return node.op == "laconic.DynamicQuantize" || node.op == "QuantizeLinear" || node.op == "DequantizeLinear" ||
         node.op == "Clip" || node.op == "Mul";
}

bool ReadsFirstToken(const Graph& graph, const Node& node) {
  const Tensor* index = node.op == "Gather" ? graph.FindInitializer(node.inputs[1]) : nullptr;
  return index != nullptr && graph.value(node.inputs[0]).type.has_rank(3) && IntAttribute(node, "axis") == 1 &&
         index->shape().empty() && index->dtype() == DType::kS64 && index->values<std::int64_t>()[0] == 0;
}

// Which nodes compute first tokens only.
std::unordered_set<const Node*> FindMoved(const Graph& graph, const std::set<ValueId>& kept) {
  std::unordered_set<const Node*> moved;
  std::unordered_set<ValueId> read;  // at first tokens
  std::unordered_set<ValueId> read_whole(kept.begin(), kept.end());
  read_whole.insert(graph.outputs().begin(), graph.outputs().end());
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    Places tokens = TokenInputs(graph, *node);
    const ValueId result = node->outputs[0];
    if (!tokens.empty() && read.contains(result) && !read_whole.contains(result)) {
      moved.insert(&*node);
    } else {
      tokens = ReadsFirstToken(graph, *node) ? Places{0} : Places();
    }
    for (std::size_t i = 0; i < node->inputs.size(); ++i) {
      (Contains(tokens, i) ? read : read_whole).insert(node->inputs[i]);
    }
  }
  return moved;
}

// Those, and whatever depends on them.
std::unordered_set<const Node*> FindLate(const Graph& graph, const std::unordered_set<const Node*>& moved) {
  std::unordered_set<const Node*> late;
  for (const Node& node : graph.nodes()) {
    const bool depends = std::ranges::any_of(
        node.inputs, [&](ValueId input) { return input != kNoValue && late.contains(graph.FindProducer(input)); });
    if (depends || moved.contains(&node)) {
      late.insert(&node);
    }
  }
  return late;
}

class Mover {
 public:
  Mover(const Graph& graph, const std::set<ValueId>& kept)
      : graph_(graph), copy_(graph, &out_), moved_(FindMoved(graph, kept)) {}

  Graph Run() && {
    const std::unordered_set<const Node*> late = FindLate(graph_, moved_);
    for (const bool is_late : {false, true}) {
      for (const Node& node : graph_.nodes()) {
        if (late.contains(&node) == is_late) {
          Copy(node);
        }
      }
    }
    copy_.CopyOutputs();
    return std::move(out_);
  }

 private:
  void Copy(const Node& node) {
    if (moved_.contains(&node)) {
      copy_.Map(node.outputs[0], AddForFirst(node, graph_.name(node)));
    } else {
      copy_.CopyNode(node);
    }
  }

  // `node` for the first tokens, under the name `name`.
  ValueId AddForFirst(const Node& node, const std::string& name) {
    const Places tokens = TokenInputs(graph_, node);
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      inputs.push_back(Contains(tokens, i) ? First(node.inputs[i]) : copy_(node.inputs[i]));
    }
    return out_.AddNode(node.op, name, std::move(inputs), node.attributes);
  }

  // The first token of each text of `value`, [B, 1, H].
  ValueId First(ValueId value) {
    const Node* producer = graph_.FindProducer(value);
    const bool is_one_token = graph_.value(value).type.shape[1] == Dim(1);
    if (is_one_token || (producer != nullptr && moved_.contains(producer))) {
      return copy_(value);
    }
    const auto found = first_.find(value);
    if (found != first_.end()) {
      return found->second;
    }
    const std::string name = FreeName(graph_.value(value).name + ".first");
    const bool again = producer != nullptr && IsQuantizer(*producer) && !TokenInputs(graph_, *producer).empty();
    return first_[value] = again ? AddForFirst(*producer, name)
                                 : out_.AddNode("Gather", name, {copy_(value), Zero()}, {{"axis", std::int64_t{1}}});
  }

  ValueId Zero() {
    if (zero_ == kNoValue) {
      const std::vector<std::int64_t> zero = {0};
      zero_ = out_.AddInitializer(FreeName("first"), Tensor::FromValues<std::int64_t>({1}, zero));
    }
    return zero_;
  }

  std::string FreeName(std::string name) const {
    while (graph_.FindValue(name) || out_.FindValue(name)) {
      name += "_";
    }
    return name;
  }

  const Graph& graph_;
  Graph out_;
  GraphCopier copy_;
  std::unordered_set<const Node*> moved_;
  std::unordered_map<ValueId, ValueId> first_;
  ValueId zero_ = kNoValue;
};

}  // namespace

Graph KeepReadRows(const Graph& graph, const std::set<ValueId>& kept) { return Mover(graph, kept).Run(); }

}  // namespace laconic::passes
