#include "formats/onnx/read_graph.h"

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "formats/onnx/onnx.h"
#include "formats/onnx/proto_types.h"
#include "formats/onnx/read_tensor.h"
#include "formats/onnx/to_plain_graph.h"
#include "laconic/error.h"

namespace laconic::onnx_file {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxNesting = 32;      // of function calls and branches
constexpr int kMaxAttributes = 256;  // of a node or function

bool IsOnnxDomain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

std::string OpOf(const ::onnx::NodeProto& node) {
  return IsOnnxDomain(node.domain()) ? node.op_type() : node.domain() + "." + node.op_type();
}

std::string FrameOf(const ::onnx::NodeProto& node) {
  const std::string first_output = node.output_size() == 0 ? "" : node.output(0);
  return "node '" + (node.name().empty() ? first_output : node.name()) + "' (" + OpOf(node) + ")";
}

// `otherwise`: for a function that calls functions alone and so names none.
int OpsetOf(const google::protobuf::RepeatedPtrField<::onnx::OperatorSetIdProto>& imports,
            std::optional<int> otherwise = std::nullopt) {
  for (const ::onnx::OperatorSetIdProto& import : imports) {
    if (!IsOnnxDomain(import.domain())) {
      continue;
    }
    if (import.version() < kMinReadOnnxOpset || import.version() > kMaxReadOnnxOpset) {
      Fail(ErrorCode::kUnsupported, "opset ", import.version(), "; known are ", kMinReadOnnxOpset, " to ",
           kMaxReadOnnxOpset);
    }
    return static_cast<int>(import.version());
  }
  if (otherwise) {
    return *otherwise;
  }
  Fail(ErrorCode::kInvalidFile, "not an ONNX model: it names no opset");
}

ValueType ReadType(const ::onnx::ValueInfoProto& proto) {
  if (!proto.type().has_tensor_type()) {
    Fail(ErrorCode::kUnsupported, "expected a tensor");
  }
  const ::onnx::TypeProto_Tensor& tensor = proto.type().tensor_type();
  const DType dtype = FromProto(tensor.elem_type());
  if (!tensor.has_shape()) {
    return ValueType::Unshaped(dtype);
  }
  ValueType type{dtype, {}};
  for (const ::onnx::TensorShapeProto_Dimension& dim : tensor.shape().dim()) {
    if (dim.has_dim_value() && dim.dim_value() >= 0) {
      type.shape.emplace_back(dim.dim_value());
    } else {
      type.shape.emplace_back(dim.dim_param().empty() ? kUnknownDim : dim.dim_param());
    }
  }
  return type;
}

// A node's attribute after those of the function that it stands in were put in its place.
struct NamedAttribute {
  std::string name;
  const ::onnx::AttributeProto* proto = nullptr;
};
using NamedAttributes = std::vector<NamedAttribute>;

const ::onnx::AttributeProto* FindAttribute(const NamedAttributes& attributes, std::string_view name) {
  const auto found = std::ranges::find(attributes, name, &NamedAttribute::name);
  return found == attributes.end() ? nullptr : found->proto;
}

Attribute ReadAttribute(const NamedAttribute& attribute) {
  const ::onnx::AttributeProto& proto = *attribute.proto;
  switch (proto.type()) {
    case ::onnx::AttributeProto::INT:
      return proto.i();
    case ::onnx::AttributeProto::FLOAT:
      return proto.f();
    case ::onnx::AttributeProto::STRING:
      return proto.s();
    case ::onnx::AttributeProto::INTS:
      return std::vector<std::int64_t>(proto.ints().begin(), proto.ints().end());
    default:
      Fail(ErrorCode::kUnsupported, "attribute '", attribute.name, "' of type ",
           ::onnx::AttributeProto::AttributeType_Name(proto.type()));
  }
}

// The values that nodes may name: those of the graph, and from inside a branch those around it too.
struct Scope {
  std::unordered_map<std::string, ValueId> values;
  const Scope* outer = nullptr;

  // kNoValue for a function's optional input that the call leaves out.
  std::optional<ValueId> Find(const std::string& name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
      const auto found = scope->values.find(name);
      if (found != scope->values.end()) return found->second;
    }
    return std::nullopt;
  }
};

// Where nodes stand.
struct Context {
  Scope* scope = nullptr;
  const NamedAttributes* attributes = nullptr;  // of the function's caller; null outside
  int opset = 0;
  int nesting = 0;
};

using Nodes = google::protobuf::RepeatedPtrField<::onnx::NodeProto>;

// Every name that `node` reads, its branches' included.
void CollectNames(const ::onnx::NodeProto& node, std::vector<const std::string*>* names) {
  for (const std::string& input : node.input()) {
    names->push_back(&input);
  }
  for (const ::onnx::AttributeProto& attribute : node.attribute()) {
    for (const ::onnx::NodeProto& inner : attribute.g().node()) {
      CollectNames(inner, names);
    }
    for (const ::onnx::ValueInfoProto& output : attribute.g().output()) {
      names->push_back(&output.name());
    }
  }
}

// A node of a cycle: of the nodes that wait, each waits for another, so going back from any of them leads into one.
int OnCycle(const Nodes& nodes, const std::unordered_map<std::string, int>& producer,
            const std::vector<int>& num_missing) {
  const auto waits = [&](int node) { return num_missing[static_cast<std::size_t>(node)] != 0; };
  int at = 0;
  while (!waits(at)) {
    ++at;
  }
  std::vector<bool> seen(num_missing.size());
  while (!seen[static_cast<std::size_t>(at)]) {
    seen[static_cast<std::size_t>(at)] = true;
    std::vector<const std::string*> names;
    CollectNames(nodes[at], &names);
    for (const std::string* name : names) {
      const auto found = producer.find(*name);
      if (found != producer.end() && waits(found->second)) {
        at = found->second;
        break;
      }
    }
  }
  return at;
}

// The nodes' order: theirs, but each after those whose outputs it reads.
// Errors: kInvalidFile for a cycle, and for an output whose name another has, or a value of `scope`.
std::vector<int> Sorted(const Nodes& nodes, const Scope& scope) {
  std::unordered_map<std::string, int> producer;
  for (int i = 0; i < nodes.size(); ++i) {
    for (const std::string& output : nodes[i].output()) {
      if (!output.empty() && (!producer.emplace(output, i).second || scope.values.contains(output))) {
        WithFrame([&] { return FrameOf(nodes[i]); },
                  [&] { Fail(ErrorCode::kInvalidFile, "two values are called '", output, "'"); });
      }
    }
  }
  std::vector<int> num_missing(static_cast<std::size_t>(nodes.size()));
  std::vector<std::vector<int>> readers(static_cast<std::size_t>(nodes.size()));
  for (int i = 0; i < nodes.size(); ++i) {
    std::vector<const std::string*> names;
    CollectNames(nodes[i], &names);
    for (const std::string* name : names) {
      const auto found = name->empty() ? producer.end() : producer.find(*name);
      if (found != producer.end()) {
        readers[static_cast<std::size_t>(found->second)].push_back(i);
        ++num_missing[static_cast<std::size_t>(i)];
      }
    }
  }
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (int i = 0; i < nodes.size(); ++i) {
    if (num_missing[static_cast<std::size_t>(i)] == 0) ready.push(i);
  }
  std::vector<int> order;
  while (!ready.empty()) {
    order.push_back(ready.top());
    ready.pop();
    for (const int reader : readers[static_cast<std::size_t>(order.back())]) {
      if (--num_missing[static_cast<std::size_t>(reader)] == 0) ready.push(reader);
    }
  }
  if (order.size() != num_missing.size()) {
    const ::onnx::NodeProto& node = nodes[OnCycle(nodes, producer, num_missing)];
    WithFrame([&] { return FrameOf(node); },
              [] { Fail(ErrorCode::kInvalidFile, "the graph has a cycle: this node waits for its own output"); });
  }
  return order;
}

class GraphReader {
 public:
  GraphReader(const ::onnx::ModelProto& model, const fs::path& directory) : tensors_(directory) {
    plain_.opset = OpsetOf(model.opset_import());
    for (const ::onnx::FunctionProto& function : model.functions()) {
      if (!functions_.emplace(Key(function.domain(), function.name(), function.overload()), &function).second) {
        Fail(ErrorCode::kInvalidFile, "two functions are called '", function.name(), "'");
      }
    }
  }

  PlainGraph Run(::onnx::GraphProto* proto) {
    for (const ::onnx::NodeProto& node : proto->node()) {
      names_.insert(node.output().begin(), node.output().end());
    }
    Scope scope;
    for (const ::onnx::ValueInfoProto& input : proto->input()) {
      WithFrame([&] { return "input '" + input.name() + "'"; }, [&] { AddInput(input, &scope); });
    }
    for (::onnx::TensorProto& initializer : *proto->mutable_initializer()) {
      WithFrame([&] { return "tensor '" + initializer.name() + "'"; }, [&] { AddInitializer(initializer, &scope); });
      ::onnx::TensorProto().Swap(&initializer);
    }
    std::erase_if(plain_.inputs, [this](const PlainPort& port) { return !plain_.value(port.value).is_input; });
    if (proto->sparse_initializer_size() != 0) {
      Fail(ErrorCode::kUnsupported, "sparse initializers");
    }
    top_level_ = proto->mutable_node();
    AddNodes(proto->node(), {&scope, nullptr, plain_.opset, 0});
    for (const ::onnx::ValueInfoProto& output : proto->output()) {
      WithFrame([&] { return "output '" + output.name() + "'"; },
                [&] {
                  plain_.outputs.push_back({Existing(output.name(), scope), ReadType(output)});
                });
    }
    plain_.external_files = tensors_.external_files();
    return std::move(plain_);
  }

 private:
  static std::string Key(const std::string& domain, const std::string& name, const std::string& overload) {
    return (IsOnnxDomain(domain) ? "" : domain) + ":" + name + ":" + overload;
  }

  static ValueId Existing(const std::string& name, const Scope& scope) {
    const std::optional<ValueId> found = scope.Find(name);
    if (!found) {
      Fail(ErrorCode::kInvalidFile, "'", name, "' is used, but nothing computes it");
    }
    return *found;
  }

  // Values inside functions and branches get names that no other has.
  ValueId Add(PlainValue value, const Context& context) {
    if (value.name.empty()) {
      Fail(ErrorCode::kInvalidFile, "a value without a name");
    }
    const auto [found, is_new] = context.scope->values.emplace(value.name, kNoValue);
    if (!is_new) {
      Fail(ErrorCode::kInvalidFile, "two values are called '", value.name, "'");
    }
    if (context.nesting > 0) {
      value.name = UniqueName(value.name);
    }
    return found->second = plain_.AddValue(std::move(value));
  }

  std::string UniqueName(const std::string& wanted) {
    std::string name = wanted;
    for (int& i = num_called_[wanted]; !names_.insert(name).second; ++i) {
      name = wanted + "_" + std::to_string(i + 1);
    }
    return name;
  }

  void AddInput(const ::onnx::ValueInfoProto& input, Scope* scope) {
    PlainValue value{input.name()};
    value.is_input = true;
    names_.insert(value.name);
    const ValueId id = Add(std::move(value), {scope});
    plain_.inputs.push_back({id, ReadType(input)});
  }

  void AddInitializer(const ::onnx::TensorProto& proto, Scope* scope) {
    names_.insert(proto.name());
    const auto found = scope->values.find(proto.name());
    if (found == scope->values.end() || plain_.value(found->second).constant) {
      Add({proto.name(), tensors_.Read(proto), proto.doc_string()}, {scope});
      return;
    }
    PlainValue& input = plain_.value(found->second);
    input.constant = tensors_.Read(proto);
    input.is_input = proto.name() == kOptionalInput;
  }

  void AddNodes(const Nodes& nodes, const Context& context) {
    if (context.nesting > kMaxNesting) {
      Fail(ErrorCode::kUnsupported, "functions and branches stand in one another more than ", kMaxNesting, " deep");
    }
    for (const ::onnx::NodeProto& node : nodes) {
      // What a function holds is read again at each call: large nodes count for several.
      constexpr std::size_t kNodeBytes = 256;
      num_nodes_ += 1 + (context.nesting > 0 ? static_cast<std::int64_t>(node.ByteSizeLong() / kNodeBytes) : 0);
    }
    if (num_nodes_ > kMaxNodes) {
      Fail(ErrorCode::kResource, "more than ", kMaxNodes, " nodes");
    }
    for (const int i : Sorted(nodes, *context.scope)) {
      WithFrame([&] { return FrameOf(nodes[i]); }, [&] { AddNode(nodes[i], context); });
      if (context.nesting == 0) {
        ::onnx::NodeProto().Swap(top_level_->Mutable(i));  // a Constant's elements are not held twice
      }
    }
  }

  void AddNode(const ::onnx::NodeProto& proto, const Context& context) {
    const NamedAttributes attributes = AttributesOf(proto, context);
    const auto function = functions_.find(Key(proto.domain(), proto.op_type(), proto.overload()));
    const std::string op = OpOf(proto);
    if (function != functions_.end()) {
      Call(*function->second, proto, attributes, context);
    } else if (op == "Constant") {
      AddConstant(proto, attributes, context);
    } else if (op == "If") {
      AddBranch(proto, attributes, context);
    } else {
      AddPlainNode(op, proto, attributes, context);
    }
  }

  static void CheckNumAttributes(int count) {
    if (count > kMaxAttributes) {
      Fail(ErrorCode::kResource, "expected at most ", kMaxAttributes, " attributes, got ", count);
    }
  }

  static NamedAttributes AttributesOf(const ::onnx::NodeProto& node, const Context& context) {
    CheckNumAttributes(node.attribute_size());
    NamedAttributes attributes;
    for (const ::onnx::AttributeProto& attribute : node.attribute()) {
      if (FindAttribute(attributes, attribute.name()) != nullptr) {
        Fail(ErrorCode::kInvalidFile, "two attributes are called '", attribute.name(), "'");
      }
      if (attribute.ref_attr_name().empty()) {
        attributes.push_back({attribute.name(), &attribute});
      } else if (context.attributes == nullptr) {
        Fail(ErrorCode::kInvalidFile, "attribute '", attribute.name(), "' refers to a function's, outside of any");
      } else if (const auto* given = FindAttribute(*context.attributes, attribute.ref_attr_name())) {
        attributes.push_back({attribute.name(), given});
      }
    }
    return attributes;
  }

  std::vector<ValueId> InputsOf(const ::onnx::NodeProto& proto, const Context& context) const {
    std::vector<ValueId> inputs;
    for (const std::string& input : proto.input()) {
      inputs.push_back(input.empty() ? kNoValue : Existing(input, *context.scope));
    }
    return inputs;
  }

  void AddPlainNode(const std::string& op, const ::onnx::NodeProto& proto, const NamedAttributes& attributes,
                    const Context& context) {
    PlainNode node{op, proto.name(), InputsOf(proto, context), {}, {}, context.opset, proto.doc_string()};
    if (op == "ConstantOfShape") {
      node.op = "Expand";
      node.inputs.insert(node.inputs.begin(), Filling(attributes, proto));
    } else {
      for (const NamedAttribute& attribute : attributes) {
        node.attributes.emplace(attribute.name, ReadAttribute(attribute));
      }
    }
    for (const std::string& output : proto.output()) {
      node.outputs.push_back(output.empty() ? kNoValue : Add({output}, context));
    }
    while (!node.outputs.empty() && node.outputs.back() == kNoValue) {
      node.outputs.pop_back();
    }
    if (node.outputs.empty()) {
      Fail(ErrorCode::kInvalidFile, "a node without outputs that have names");
    }
    if (node.name.empty()) {
      node.name = *std::ranges::find_if(proto.output(), [](const std::string& output) { return !output.empty(); });
    }
    plain_.nodes.push_back(std::move(node));
  }

  // What a ConstantOfShape fills its output with, as a scalar.
  ValueId Filling(const NamedAttributes& attributes, const ::onnx::NodeProto& proto) {
    Tensor value = Tensor::FromValues<float>({}, std::vector<float>{0});
    if (const auto* given = FindAttribute(attributes, "value")) {
      value = ReadShared(given->t());
    }
    if (value.num_elements() != 1) {
      Fail(ErrorCode::kInvalidFile, "expected a value of 1 element, got ", value.num_elements());
    }
    const std::string name = UniqueName((proto.output_size() == 0 ? "" : proto.output(0)) + "/value");
    return plain_.AddValue({name, value.Reshaped({})});
  }

  void AddConstant(const ::onnx::NodeProto& proto, const NamedAttributes& attributes, const Context& context) {
    if (attributes.size() != 1 || proto.output_size() != 1) {
      Fail(ErrorCode::kInvalidFile, "expected one value and one output, got ", attributes.size(), " and ",
           proto.output_size());
    }
    Add({proto.output(0), ConstantValue(attributes[0]), attributes[0].proto->t().doc_string()}, context);
  }

  // A function's constants are one, however often it is called.
  Tensor ReadShared(const ::onnx::TensorProto& proto) {
    const auto found = shared_.find(&proto);
    return found != shared_.end() ? found->second : shared_[&proto] = tensors_.Read(proto);
  }

  Tensor ConstantValue(const NamedAttribute& attribute) {
    const ::onnx::AttributeProto& proto = *attribute.proto;
    if (attribute.name == "value" && proto.type() == ::onnx::AttributeProto::TENSOR) {
      return ReadShared(proto.t());
    }
    if (attribute.name == "value_int" && proto.type() == ::onnx::AttributeProto::INT) {
      return Tensor::FromValues<std::int64_t>({}, std::vector<std::int64_t>{proto.i()});
    }
    if (attribute.name == "value_float" && proto.type() == ::onnx::AttributeProto::FLOAT) {
      return Tensor::FromValues<float>({}, std::vector<float>{proto.f()});
    }
    if (attribute.name == "value_ints" && proto.type() == ::onnx::AttributeProto::INTS) {
      return Tensor::FromValues<std::int64_t>(
          {proto.ints_size()}, std::span(proto.ints().data(), static_cast<std::size_t>(proto.ints_size())));
    }
    if (attribute.name == "value_floats" && proto.type() == ::onnx::AttributeProto::FLOATS) {
      return Tensor::FromValues<float>({proto.floats_size()},
                                       std::span(proto.floats().data(), static_cast<std::size_t>(proto.floats_size())));
    }
    Fail(ErrorCode::kUnsupported, "attribute '", attribute.name, "' of type ",
         ::onnx::AttributeProto::AttributeType_Name(proto.type()));
  }

  // The nodes of `function` in place of the call `proto`.
  void Call(const ::onnx::FunctionProto& function, const ::onnx::NodeProto& proto, NamedAttributes attributes,
            const Context& context) {
    if (proto.input_size() > function.input_size() || proto.output_size() > function.output_size()) {
      Fail(ErrorCode::kInvalidFile, "the function has ", function.input_size(), " inputs and ", function.output_size(),
           " outputs, the call ", proto.input_size(), " and ", proto.output_size());
    }
    CheckNumAttributes(function.attribute_proto_size());
    for (const ::onnx::AttributeProto& by_default : function.attribute_proto()) {
      if (FindAttribute(attributes, by_default.name()) == nullptr) {
        attributes.push_back({by_default.name(), &by_default});
      }
    }
    num_nodes_ += (function.input_size() + function.output_size()) / 16;
    Scope inside;
    for (int i = 0; i < function.input_size(); ++i) {
      const bool given = i < proto.input_size() && !proto.input(i).empty();
      inside.values[function.input(i)] = given ? Existing(proto.input(i), *context.scope) : kNoValue;
    }
    AddNodes(function.node(),
             {&inside, &attributes, OpsetOf(function.opset_import(), context.opset), context.nesting + 1});
    for (int i = 0; i < proto.output_size(); ++i) {
      Bind(proto.output(i), Existing(function.output(i), inside), context);
    }
  }

  // The branch that a constant chooses, in place of the If.
  void AddBranch(const ::onnx::NodeProto& proto, const NamedAttributes& attributes, const Context& context) {
    const std::vector<ValueId> inputs = InputsOf(proto, context);
    const PlainValue* condition = inputs.size() == 1 && inputs[0] >= 0 ? &plain_.value(inputs[0]) : nullptr;
    if (condition == nullptr || !condition->is_constant() || condition->constant->dtype() != DType::kBool ||
        condition->constant->num_elements() != 1) {
      Fail(ErrorCode::kUnsupported, "a choice that is known only when the model runs");
    }
    const bool chosen = condition->constant->values<bool>()[0];
    const auto* branch = FindAttribute(attributes, chosen ? "then_branch" : "else_branch");
    if (branch == nullptr || branch->g().output_size() < proto.output_size()) {
      Fail(ErrorCode::kInvalidFile, "its branch is missing or has too few outputs");
    }
    Scope inside{{}, context.scope};
    const Context within{&inside, context.attributes, context.opset, context.nesting + 1};
    for (const ::onnx::TensorProto& initializer : branch->g().initializer()) {
      WithFrame([&] { return "tensor '" + initializer.name() + "'"; },
                [&] {
                  Add({initializer.name(), tensors_.Read(initializer), initializer.doc_string()}, within);
                });
    }
    AddNodes(branch->g().node(), within);
    for (int i = 0; i < proto.output_size(); ++i) {
      Bind(proto.output(i), Existing(branch->g().output(i).name(), inside), context);
    }
  }

  // The outer `name` of what was computed inside; an output of the graph gets a node of that name.
  void Bind(const std::string& name, ValueId value, const Context& context) {
    if (name.empty()) {
      return;
    }
    if (value == kNoValue) {
      Fail(ErrorCode::kInvalidFile, "its output '", name, "' is an input that it was not given");
    }
    PlainNode node{"Identity", name, {value}, {}, {}, context.opset};
    node.outputs = {Add({name}, context)};
    plain_.nodes.push_back(std::move(node));
  }

  PlainGraph plain_;
  TensorReader tensors_;
  Nodes* top_level_ = nullptr;
  std::unordered_map<std::string, const ::onnx::FunctionProto*> functions_;
  std::unordered_map<const ::onnx::TensorProto*, Tensor> shared_;  // of attributes; they stay where they are
  std::unordered_set<std::string> names_;                          // taken
  std::unordered_map<std::string, int> num_called_;
  std::int64_t num_nodes_ = 0;
};

}  // namespace

PlainGraph ReadGraph(::onnx::ModelProto* model, const fs::path& directory) {
  return GraphReader(*model, directory).Run(model->mutable_graph());
}

}  // namespace laconic::onnx_file
