#include "formats/onnx/recognise.h"

#include <algorithm>

#include "formats/onnx/node_import.h"
#include "formats/onnx/op_patterns.h"
#include "laconic/error.h"

namespace laconic::onnx_file {
namespace {

constexpr std::int32_t kNone = -1;

// Where a plain graph's values come from and go to.
struct Links {
  explicit Links(const PlainGraph& plain)
      : producer(plain.values.size(), kNone), num_uses(plain.values.size()), num_taken_uses(plain.values.size()) {
    for (std::size_t i = 0; i < plain.nodes.size(); ++i) {
      for (const ValueId output : plain.nodes[i].outputs) {
        if (output != kNoValue) producer[static_cast<std::size_t>(output)] = static_cast<std::int32_t>(i);
      }
      for (const ValueId input : plain.nodes[i].inputs) {
        num_uses[static_cast<std::size_t>(std::max(input, 0))] += input == kNoValue ? 0 : 1;
      }
    }
    for (const PlainPort& output : plain.outputs) {
      ++num_uses[static_cast<std::size_t>(output.value)];
    }
  }

  std::vector<std::int32_t> producer;  // index of the node, or kNone
  std::vector<int> num_uses;           // by nodes and as outputs
  std::vector<int> num_taken_uses;     // by nodes that are part of a pattern
};

// What a pattern was found to stand for.
struct Match {
  const Pattern* pattern = nullptr;
  std::vector<ValueId> bound;       // of each of the pattern's values
  std::vector<std::int32_t> nodes;  // the pattern's, in the plain graph
  Attributes parameters;
};

class Matcher {
 public:
  Matcher(const PlainGraph& plain, const Links& links, const std::vector<bool>& taken)
      : plain_(plain), links_(links), taken_(taken) {}

  // Whether `root` is the last node of `pattern`, all of whose nodes are free.
  std::optional<Match> Find(const Pattern& pattern, std::int32_t root) {
    match_ = {&pattern, std::vector<ValueId>(pattern.values().size(), kNoValue), {}, {}};
    if (plain_.nodes[static_cast<std::size_t>(root)].outputs.empty() ||
        !MatchValue(pattern.output(), plain_.nodes[static_cast<std::size_t>(root)].outputs[0]) ||
        !std::ranges::all_of(pattern.inputs(), [this](const PatternInput& input) { return FitsInput(input); }) ||
        !pattern.Admits(match_.parameters) || !IsClosed() || !SumsAreRight()) {
      return std::nullopt;
    }
    match_.parameters.insert(pattern.fixed().begin(), pattern.fixed().end());
    return std::move(match_);
  }

 private:
  ValueId Bound(Ref ref) const { return match_.bound[static_cast<std::size_t>(ref)]; }
  const Tensor& ConstantOf(Ref ref) const { return *plain_.value(Bound(ref)).constant; }

  bool MatchValue(Ref ref, ValueId id) {
    ValueId& bound = match_.bound[static_cast<std::size_t>(ref)];
    if (bound != kNoValue || id == kNoValue) {
      return bound == id && id != kNoValue;
    }
    bound = id;
    const PatternValue& wanted = match_.pattern->value(ref);
    const PlainValue& value = plain_.value(id);
    if (const auto* constant = std::get_if<PatternConstant>(&wanted)) {
      return value.is_constant() && MatchConstant(*constant, *value.constant, &match_.parameters);
    }
    if (std::holds_alternative<ColumnSums>(wanted)) {
      return value.is_constant();
    }
    const auto* computed = std::get_if<Computed>(&wanted);
    return computed == nullptr || MatchNode(match_.pattern->nodes()[static_cast<std::size_t>(computed->node)],
                                            links_.producer[static_cast<std::size_t>(id)]);
  }

  bool MatchNode(const PatternNode& wanted, std::int32_t index) {
    if (index == kNone || taken_[static_cast<std::size_t>(index)]) {
      return false;
    }
    match_.nodes.push_back(index);
    const PlainNode& node = plain_.nodes[static_cast<std::size_t>(index)];
    if (node.op != wanted.op || node.attributes != wanted.attributes ||
        static_cast<int>(node.outputs.size()) != wanted.num_outputs || node.inputs.size() != wanted.inputs.size()) {
      return false;
    }
    BindOutputs(wanted, node);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const bool matches =
          wanted.inputs[i] == kAbsent ? node.inputs[i] == kNoValue : MatchValue(wanted.inputs[i], node.inputs[i]);
      if (!matches) return false;
    }
    return true;
  }

  void BindOutputs(const PatternNode& wanted, const PlainNode& node) {
    const std::vector<PatternValue>& values = match_.pattern->values();
    for (std::size_t ref = 0; wanted.num_outputs > 1 && ref < values.size(); ++ref) {
      const auto* computed = std::get_if<Computed>(&values[ref]);
      if (computed != nullptr && &match_.pattern->nodes()[static_cast<std::size_t>(computed->node)] == &wanted) {
        match_.bound[ref] = node.outputs[static_cast<std::size_t>(computed->output)];
      }
    }
  }

  bool FitsInput(const PatternInput& input) const {
    if (input.kind == InputKind::kConstant) {
      return ConstantRank(Bound(input.refs[0])) == input.rank;
    }
    if (input.kind == InputKind::kScalarRows) {
      return IsScalarRows(Bound(input.refs[0]), Bound(input.refs[1]), Bound(input.refs[2]));
    }
    if (input.kind == InputKind::kCodes || input.kind == InputKind::kBlocks) {
      if (!std::ranges::all_of(input.refs, [this](Ref ref) { return plain_.value(Bound(ref)).is_constant(); })) {
        return false;
      }
      std::vector<const Tensor*> constants;
      std::ranges::transform(input.refs, std::back_inserter(constants), [this](Ref ref) { return &ConstantOf(ref); });
      return AreCodes(input, constants) && (input.kind == InputKind::kCodes || AreWholeBlocks(input));
    }
    return true;
  }

  bool IsScalarRows(ValueId codes, ValueId scale, ValueId zero_point) const {
    const std::int32_t index = links_.producer[static_cast<std::size_t>(codes)];
    if (index == kNone) {
      return false;
    }
    const PlainNode& node = plain_.nodes[static_cast<std::size_t>(index)];
    const std::vector<ValueId> params = {scale, zero_point};
    const auto is_scalar = [this](ValueId id) {
      return plain_.value(id).is_constant() && plain_.value(id).constant->shape().empty();
    };
    if (node.op == "QuantizeLinear") {
      return node.inputs.size() == 3 && node.attributes.empty() &&
             std::ranges::equal(std::span(node.inputs).subspan(1), params) && std::ranges::all_of(params, is_scalar);
    }
    return node.op == "DynamicQuantizeLinear" && node.outputs.size() == 3 && node.outputs[0] == codes &&
           std::ranges::equal(std::span(node.outputs).subspan(1), params);
  }

  bool AreWholeBlocks(const PatternInput& input) const {
    const std::int64_t block = std::get<std::int64_t>(match_.parameters.at(kBlockSize));
    const Shape& codes = ConstantOf(input.refs[0]).shape();
    const Shape& scales = ConstantOf(input.refs[1]).shape();
    return block > 0 && codes[0] == scales[0] && codes[1] % block == 0 && codes[1] / block == scales[1];
  }

  // -1 for what is not a constant, even behind Cast and DequantizeLinear.
  int ConstantRank(ValueId id) const {
    for (int steps = 0; !plain_.value(id).is_constant(); ++steps) {
      constexpr int kMaxSteps = 4;  // the patterns have 1
      const std::int32_t producer = links_.producer[static_cast<std::size_t>(id)];
      if (producer == kNone || steps == kMaxSteps) {
        return -1;
      }
      const PlainNode& node = plain_.nodes[static_cast<std::size_t>(producer)];
      if ((node.op != "Cast" && node.op != "DequantizeLinear") || node.inputs.empty() || node.inputs[0] == kNoValue) {
        return -1;
      }
      id = node.inputs[0];
    }
    return static_cast<int>(plain_.value(id).constant->shape().size());
  }

  // Nobody else reads what the pattern computes inside. What leaves it together with more outputs, the integers of
  // rows, is read by patterns alone; they were looked at before, since they come later in the graph.
  bool IsClosed() const {
    const Pattern& pattern = *match_.pattern;
    std::vector<int> uses(pattern.values().size());
    for (const PatternNode& node : pattern.nodes()) {
      for (const Ref input : node.inputs) {
        uses[static_cast<std::size_t>(std::max(input, 0))] += input == kAbsent ? 0 : 1;
      }
    }
    for (std::size_t ref = 0; ref < uses.size(); ++ref) {
      const bool is_output = static_cast<Ref>(ref) == pattern.output();
      const bool leaves = is_output || std::ranges::count(pattern.more_outputs(), static_cast<Ref>(ref)) != 0;
      if (!std::holds_alternative<Computed>(pattern.values()[ref]) || (is_output && pattern.more_outputs().empty())) {
        continue;
      }
      const auto id = static_cast<std::size_t>(match_.bound[ref]);
      if (links_.num_uses[id] != uses[ref] + (leaves ? links_.num_taken_uses[id] : 0)) {
        return false;
      }
    }
    return true;
  }

  bool SumsAreRight() const {
    for (std::size_t ref = 0; ref < match_.bound.size(); ++ref) {
      const auto* sums = std::get_if<ColumnSums>(&match_.pattern->values()[ref]);
      if (sums == nullptr) {
        continue;
      }
      const Tensor& stated = ConstantOf(static_cast<Ref>(ref));
      const Tensor& matrix = ConstantOf(sums->matrix);
      // The size first: a matrix without rows may claim any number of columns.
      if (stated.dtype() != DType::kS32 || stated.shape() != Shape{matrix.shape()[1]} || matrix.num_elements() == 0) {
        return false;
      }
      const Tensor* zero_points = sums->zero_point == kAbsent ? nullptr : &ConstantOf(sums->zero_point);
      const Tensor right = MakeColumnSums(matrix, zero_points);
      if (!std::ranges::equal(stated.values<std::int32_t>(), right.values<std::int32_t>())) {
        return false;
      }
    }
    return true;
  }

  const PlainGraph& plain_;
  const Links& links_;
  const std::vector<bool>& taken_;
  Match match_;
};

class Recogniser {
 public:
  explicit Recogniser(const PlainGraph& plain)
      : plain_(plain),
        links_(plain),
        patterns_(MakePatterns(plain.opset)),
        taken_(plain.nodes.size()),
        import_(plain) {}

  Graph Run() {
    // From the end, so that a node that ends one pattern and lies inside another goes to the larger one.
    std::vector<std::optional<Match>> matches(plain_.nodes.size());
    for (std::size_t i = plain_.nodes.size(); i-- > 0;) {
      matches[i] = taken_[i] ? std::nullopt : FindMatch(static_cast<std::int32_t>(i));
    }
    for (const PlainPort& input : plain_.inputs) {
      WithFrame([&] { return "input '" + plain_.value(input.value).name + "'"; }, [&] { import_.AddInput(input); });
    }
    for (std::size_t i = 0; i < matches.size(); ++i) {
      if (matches[i]) {
        AddMatchOrNodes(&*matches[i]);
      } else if (!taken_[i]) {
        import_.AddNode(plain_.nodes[i]);
      }
    }
    import_.AddOutputs();
    return std::move(import_.graph());
  }

 private:
  // The codes of a laconic.DynamicQuantize with the values that belong to them.
  struct Rows {
    ValueId quantized = kNoValue;  // in our graph
    std::vector<ValueId> also;     // scales, zero points, in the plain graph
  };

  std::optional<Match> FindMatch(std::int32_t root) {
    const std::string& op = plain_.nodes[static_cast<std::size_t>(root)].op;
    for (const Pattern& pattern : patterns_) {
      if (pattern.nodes().back().op != op) {
        continue;
      }
      std::optional<Match> match = Matcher(plain_, links_, taken_).Find(pattern, root);
      if (match) {
        for (const std::int32_t node : match->nodes) {
          taken_[static_cast<std::size_t>(node)] = true;
          for (const ValueId input : plain_.nodes[static_cast<std::size_t>(node)].inputs) {
            links_.num_taken_uses[static_cast<std::size_t>(std::max(input, 0))] += input == kNoValue ? 0 : 1;
          }
        }
        return match;
      }
    }
    return std::nullopt;
  }

  // A pattern whose values have other types than the logical node's is but a likeness: its nodes stand for themselves.
  void AddMatchOrNodes(Match* match) {
    try {
      AddMatch(*match);
    } catch (const Error&) {
      std::ranges::sort(match->nodes);
      for (const std::int32_t node : match->nodes) {
        import_.AddNode(plain_.nodes[static_cast<std::size_t>(node)]);
      }
    }
  }

  void AddMatch(const Match& match) {
    const Pattern& pattern = *match.pattern;
    const ValueId output = match.bound[static_cast<std::size_t>(pattern.output())];
    Attributes attributes = match.parameters;
    const auto found = attributes.extract(kBlockSize);
    const std::int64_t block = found.empty() ? 0 : std::get<std::int64_t>(found.mapped());
    std::vector<ValueId> inputs;
    for (const PatternInput& input : pattern.inputs()) {
      std::vector<ValueId> plain;
      for (const Ref ref : input.refs) {
        plain.push_back(match.bound[static_cast<std::size_t>(ref)]);
      }
      inputs.push_back(LogicalInput(input, plain, block));
    }
    const ValueId added =
        import_.Add(pattern.op(), {import_.NameOf(output)}, std::move(inputs), std::move(attributes))[0];
    if (pattern.more_outputs().empty()) {
      import_.SetValue(output, added);
      return;
    }
    Rows& rows = rows_[output];
    rows.quantized = added;
    for (const Ref more : pattern.more_outputs()) {
      rows.also.push_back(match.bound[static_cast<std::size_t>(more)]);
    }
  }

  ValueId LogicalInput(const PatternInput& input, const std::vector<ValueId>& plain, std::int64_t block) {
    if (input.kind == InputKind::kCodes || input.kind == InputKind::kBlocks) {
      return Dequantized(plain, input.axis, input.kind == InputKind::kBlocks ? block : 0);
    }
    if (input.kind != InputKind::kRows && input.kind != InputKind::kScalarRows) {
      const ValueId value = import_.ValueOf(plain[0]);
      const ValueType& type = import_.graph().value(value).type;
      if (input.is_bool && type.dtype != DType::kBool) {
        Fail(ErrorCode::kInvalidFile, "a mask: expected bool, got ", ToString(type));
      }
      return import_.Widened(value);
    }
    const auto rows = rows_.find(plain[0]);
    if (rows == rows_.end() && input.kind == InputKind::kScalarRows) {
      return Dequantized(plain, 1, 0);
    }
    if (rows == rows_.end() || !std::ranges::equal(rows->second.also, std::span(plain).subspan(1))) {
      Fail(ErrorCode::kUnsupported, "its integers do not come from one dynamic quantization");
    }
    return rows->second.quantized;
  }

  // The DequantizeLinear that was left out for its codes. They, or the node that makes them, carry its name.
  ValueId Dequantized(const std::vector<ValueId>& plain, std::int64_t axis, std::int64_t block) {
    std::vector<ValueId> inputs;
    std::ranges::transform(plain, std::back_inserter(inputs), [this](ValueId id) { return import_.ValueOf(id); });
    const auto [found, is_new] = dequantized_.emplace(std::tuple(inputs, axis, block), kNoValue);
    if (!is_new) {
      return found->second;
    }
    const PlainValue& value = plain_.value(plain[0]);
    const std::int32_t producer = links_.producer[static_cast<std::size_t>(plain[0])];
    const std::string& doc = producer == kNone ? value.doc : plain_.nodes[static_cast<std::size_t>(producer)].doc;
    const std::string name = doc.empty() ? value.name + ".dequantized" : doc;
    const std::optional<ValueId> same = import_.graph().FindValue(name);  // written too, for others that read it
    const Node* node = same ? import_.graph().FindProducer(*same) : nullptr;
    if (node != nullptr && node->op == "DequantizeLinear" && node->inputs == inputs &&
        IntAttribute(*node, "axis") == axis && IntAttribute(*node, kBlockSize) == block) {
      return found->second = *same;
    }
    return found->second = import_.Add("DequantizeLinear", {import_.UniqueName(name)}, inputs,
                                       {{"axis", axis}, {kBlockSize, block}})[0];
  }

  const PlainGraph& plain_;
  Links links_;
  const std::vector<Pattern> patterns_;
  std::vector<bool> taken_;  // of each node: part of a pattern
  GraphImport import_;
  std::unordered_map<ValueId, Rows> rows_;  // by the codes' value
  std::map<std::tuple<std::vector<ValueId>, std::int64_t, std::int64_t>, ValueId> dequantized_;
};

}  // namespace

Graph Recognise(const PlainGraph& plain) { return Recogniser(plain).Run(); }

}  // namespace laconic::onnx_file
