#include "graph/text_form.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "laconic/error.h"

namespace laconic {
namespace {

std::string PrintAttribute(const Attribute& attribute) {
  struct Printer {
    std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
    // The shortest text that reads back to the same float, with a point or exponent so that it stays a float.
    std::string operator()(float value) const {
      const std::string text = fmt::format("{}", value);
      return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
    }
    std::string operator()(const std::string& value) const { return Quoted(value); }
    std::string operator()(const std::vector<std::int64_t>& value) const {
      return fmt::format("[{}]", fmt::join(value, ", "));
    }
  };
  return std::visit(Printer(), attribute);
}

std::string PrintNode(const Graph& graph, const Node& node) {
  std::vector<std::string> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(input == kNoValue ? "_" : QuoteName(graph.value(input).name));
  }
  std::vector<std::string> attributes;
  for (const auto& [name, value] : node.attributes) {
    attributes.push_back(name + " = " + PrintAttribute(value));
  }
  std::vector<std::string> outputs, types;
  for (const ValueId output : node.outputs) {
    outputs.push_back(output == kNoValue ? "_" : QuoteName(graph.value(output).name));
    types.push_back(output == kNoValue ? "_" : ToString(graph.value(output).type));
  }
  return fmt::format("{} = {}({}){}: {}\n", fmt::join(outputs, ", "), node.op, fmt::join(inputs, ", "),
                     attributes.empty() ? "" : fmt::format(" {{{}}}", fmt::join(attributes, ", ")),
                     fmt::join(types, ", "));
}

class Parser {
 public:
  Parser(std::string_view text, const FindTensorFn& find_tensor) : text_(text), find_tensor_(find_tensor) {}

  Graph Run() {
    for (line_ = 1; position_ < text_.size(); ++line_) {
      WithFrame([this] { return fmt::format("line {} of the graph", line_); }, [this] { Line(); });
    }
    return std::move(graph_);
  }

 private:
  void Line() {
    if (Peek() == '\n') {
      ++position_;
      return;
    }
    const bool quoted = Peek() == '"';
    const std::string first = Name();
    const bool is_node = quoted || Peek() == '=' || Peek() == ',';
    if (first == "input" && !is_node) {
      const std::string name = Name();
      Expect(':');
      graph_.AddInput(name, Type());
    } else if (first == "const" && !is_node) {
      Constant();
    } else if (first == "output" && !is_node) {
      graph_.AddOutput(ExistingValue(Name()));
    } else {
      NodeLine(first);
    }
    EndOfLine();
  }

  void Constant() {
    const std::string name = Name();
    Expect(':');
    const ValueType type = Type();
    Shape shape;
    for (const Dim& dim : type.shape) {
      if (!dim.is_fixed()) {
        Fail(ErrorCode::kInvalidFile, "constant '", name, "' has the symbolic size '", dim.symbol, "'");
      }
      shape.push_back(dim.size);
    }
    Expect('#');
    const std::string digest = Name();
    Tensor tensor = find_tensor_(name, type.dtype, shape);
    if (TensorDigest(tensor) != digest) {
      Fail(ErrorCode::kInvalidFile, "constant '", name, "': expected digest ", digest, ", got ", TensorDigest(tensor));
    }
    graph_.AddInitializer(name, std::move(tensor));
  }

  void NodeLine(const std::string& first) {
    std::vector<std::string> names = {first};
    while (Peek() == ',') {
      Expect(',');
      names.push_back(OptionalName().value_or(""));
    }
    Expect('=');
    const std::string op = Name();
    Expect('(');
    std::vector<ValueId> inputs;
    while (Peek() != ')') {
      const std::optional<std::string> input = OptionalName();
      inputs.push_back(input ? ExistingValue(*input) : kNoValue);
      if (Peek() != ')') {
        Expect(',');
      }
    }
    Expect(')');
    Attributes attributes;
    if (Peek() == '{') {
      attributes = AttributeList();
    }
    const std::vector<ValueId> outputs = graph_.AddNode(op, names, std::move(inputs), std::move(attributes));
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      Expect(i == 0 ? ':' : ',');
      if (outputs[i] == kNoValue) {
        OptionalName();
        continue;
      }
      const ValueType stated = Type();
      const ValueType& inferred = graph_.value(outputs[i]).type;
      if (stated != inferred) {
        Fail(ErrorCode::kInvalidFile, "'", names[i], "': stated type ", ToString(stated), ", but ", op, " gives ",
             ToString(inferred));
      }
    }
  }

  // Nothing for "_", which stands for an input or output that is absent.
  std::optional<std::string> OptionalName() {
    const bool quoted = Peek() == '"';
    std::string name = Name();
    return name == "_" && !quoted ? std::nullopt : std::optional(std::move(name));
  }

  Attributes AttributeList() {
    Attributes attributes;
    Expect('{');
    while (Peek() != '}') {
      const std::string name = Name();
      Expect('=');
      attributes[name] = AttributeValue();
      if (Peek() != '}') {
        Expect(',');
      }
    }
    Expect('}');
    return attributes;
  }

  Attribute AttributeValue() {
    if (Peek() == '"') {
      return Name();
    }
    if (Peek() == '[') {
      std::vector<std::int64_t> values;
      Expect('[');
      while (Peek() != ']') {
        values.push_back(Integer(Name()));
        if (Peek() != ']') {
          Expect(',');
        }
      }
      Expect(']');
      return values;
    }
    const std::string word = NumberWord();
    if (word.find_first_of(".en") == std::string::npos) {
      return Integer(word);
    }
    float value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) {
      Fail(ErrorCode::kInvalidFile, "expected a number, got '", word, "'");
    }
    return value;
  }

  ValueType Type() {
    ValueType type;
    const std::string dtype = Name();
    type.dtype = WithFrame([] { return "a type"; }, [&] { return ParseDType(dtype); });
    Expect('[');
    while (Peek() != ']') {
      const bool quoted = Peek() == '"';
      const std::string dim = Name();
      if (dim == "..." && !quoted && type.shape.empty()) {
        type.has_shape = false;
        break;
      }
      const bool number = !quoted && !dim.empty() && std::isdigit(static_cast<unsigned char>(dim[0])) != 0;
      type.shape.push_back(number ? Dim(Integer(dim)) : Dim(dim));
      if (Peek() != ']') {
        Expect(',');
      }
    }
    Expect(']');
    return type;
  }

  static std::int64_t Integer(const std::string& word) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) {
      Fail(ErrorCode::kInvalidFile, "expected an integer, got '", word, "'");
    }
    return value;
  }

  ValueId ExistingValue(const std::string& name) const {
    const std::optional<ValueId> id = graph_.FindValue(name);
    if (!id) {
      Fail(ErrorCode::kInvalidFile, "'", name, "' is used before it is defined");
    }
    return *id;
  }

  char Peek() {
    while (position_ < text_.size() && text_[position_] == ' ') {
      ++position_;
    }
    return position_ < text_.size() ? text_[position_] : '\n';
  }

  void Expect(char wanted) {
    const char got = Peek();
    if (got != wanted || position_ >= text_.size()) {
      Fail(ErrorCode::kInvalidFile, "expected '", wanted, "', got '", got == '\n' ? ' ' : got, "'");
    }
    ++position_;
  }

  void EndOfLine() {
    if (Peek() != '\n') {
      Fail(ErrorCode::kInvalidFile, "unexpected '", text_[position_], "'");
    }
    ++position_;
  }

  std::string NumberWord() {
    std::string word;
    Peek();
    while (position_ < text_.size() && (IsNameCharacter(text_[position_]) || text_[position_] == '+')) {
      word += text_[position_++];
    }
    return word;
  }

  std::string Name() {
    if (Peek() == '"') {
      return QuotedName();
    }
    std::string name;
    while (position_ < text_.size() && IsNameCharacter(text_[position_])) {
      name += text_[position_++];
    }
    if (name.empty()) {
      Fail(ErrorCode::kInvalidFile, "expected a name");
    }
    return name;
  }

  std::string QuotedName() {
    std::string name;
    for (++position_; position_ < text_.size() && text_[position_] != '"'; ++position_) {
      if (text_[position_] == '\\' && position_ + 1 < text_.size()) {
        ++position_;
        name += text_[position_] == 'n' ? '\n' : text_[position_];
      } else {
        name += text_[position_];
      }
    }
    Expect('"');
    return name;
  }

  std::string_view text_;
  const FindTensorFn& find_tensor_;
  std::size_t position_ = 0;
  int line_ = 0;
  Graph graph_;
};

}  // namespace

std::string TensorDigest(const Tensor& tensor) {
  // FNV-1a (Fowler, Noll, Vo) over 64-bit words: enough to tell tensors apart in a listing; files carry SHA-256.
  constexpr std::uint64_t kPrime = 0x100000001b3;
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&hash](std::uint64_t word) { hash = (hash ^ word) * kPrime; };
  mix(static_cast<std::uint64_t>(tensor.dtype()));
  for (const std::int64_t size : tensor.shape()) {
    mix(static_cast<std::uint64_t>(size));
  }
  const Tensor flat = tensor.Contiguous();
  const auto* bytes = reinterpret_cast<const unsigned char*>(flat.data());
  const auto size = static_cast<std::size_t>(flat.size_bytes());
  constexpr std::size_t kReleaseBytes = 16 << 20;  // a tensor over 2 GB must not stay in memory while it is read
  std::size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    if (at % kReleaseBytes == 0) {
      flat.ReleasePages();
    }
    std::uint64_t word = 0;
    std::copy_n(bytes + at, 8, reinterpret_cast<unsigned char*>(&word));
    mix(word);
    hash ^= hash >> 29;  // FNV alone spreads high bits badly over whole words
  }
  for (; at < size; ++at) {
    mix(bytes[at]);
  }
  flat.ReleasePages();
  return fmt::format("{:016x}", hash);
}

std::string PrintGraph(const Graph& graph) {
  std::string text;
  for (const ValueId input : graph.inputs()) {
    text += fmt::format("input {}: {}\n", QuoteName(graph.value(input).name), ToString(graph.value(input).type));
  }
  // Each constant right before its first use: the order does not depend on when it was added.
  std::vector<bool> printed(graph.values().size());
  for (const Node& node : graph.nodes()) {
    for (const ValueId input : node.inputs) {
      const Tensor* tensor = input == kNoValue ? nullptr : graph.FindInitializer(input);
      if (tensor != nullptr && !printed[static_cast<std::size_t>(input)]) {
        printed[static_cast<std::size_t>(input)] = true;
        text += fmt::format("const {}: {} #{}\n", QuoteName(graph.value(input).name), ToString(graph.value(input).type),
                            TensorDigest(*tensor));
      }
    }
    text += PrintNode(graph, node);
  }
  for (const ValueId output : graph.outputs()) {
    text += fmt::format("output {}\n", QuoteName(graph.value(output).name));
  }
  return text;
}

Graph ParseGraph(std::string_view text, const FindTensorFn& find_tensor) { return Parser(text, find_tensor).Run(); }

}  // namespace laconic
