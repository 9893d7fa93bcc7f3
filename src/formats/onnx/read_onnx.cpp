#include <algorithm>
#include <charconv>
#include <limits>

#include "base/file.h"
#include "base/mapped_file.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/proto_types.h"
#include "formats/onnx/recognise.h"
#include "laconic/error.h"
#include "onnx-ml.pb.h"

namespace laconic {
namespace {

namespace fs = std::filesystem;
using onnx_file::PlainGraph;
using onnx_file::PlainNode;
using onnx_file::PlainPort;
using onnx_file::PlainValue;

bool IsOnnxDomain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

::onnx::ModelProto ParseModel(const fs::path& path) {
  // Read, not mapped: protobuf copies what it parses, and mapped pages would stay beside the copies.
  const RegularFile file = OpenRegularFile(path);
  if (file.size_bytes > std::numeric_limits<std::int32_t>::max()) {
    Fail(ErrorCode::kInvalidFile, file.size_bytes, " bytes are more than an ONNX model can have");
  }
  ::onnx::ModelProto model;
  if (!model.ParseFromFileDescriptor(file.descriptor.get())) {
    Fail(ErrorCode::kInvalidFile, "not an ONNX model: it does not parse as protobuf");
  }
  return model;
}

// The files beside the model that hold tensors, each mapped once.
class ExternalFiles {
 public:
  explicit ExternalFiles(fs::path directory) : directory_(std::move(directory)) {}

  Tensor Read(const ::onnx::TensorProto& proto, DType dtype, Shape shape) {
    std::string location;
    std::int64_t offset = 0;
    std::int64_t length = NumElements(shape) * SizeOf(dtype);
    const std::int64_t expected = length;
    for (const ::onnx::StringStringEntryProto& entry : proto.external_data()) {
      if (entry.key() == "location") {
        location = entry.value();
      } else if (entry.key() == "offset") {
        offset = Integer(entry);
      } else if (entry.key() == "length") {
        length = Integer(entry);
      }
    }
    if (length != expected) {
      Fail(ErrorCode::kInvalidFile, "expected ", expected, " bytes, got the length ", length);
    }
    return WithFrame([&] { return "external data '" + location + "'"; },
                     [&] { return Tensor::MapFile(Open(location), offset, dtype, std::move(shape)); });
  }

 private:
  static std::int64_t Integer(const ::onnx::StringStringEntryProto& entry) {
    const std::string& text = entry.value();
    std::int64_t value = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0) {
      Fail(ErrorCode::kInvalidFile, "external data's ", entry.key(), ": expected a size, got '", text, "'");
    }
    return value;
  }

  const std::shared_ptr<const MappedFile>& Open(const std::string& location) {
    const fs::path path(location);
    if (location.empty() || location.find('\0') != std::string::npos || path.is_absolute() ||
        std::ranges::find(path, fs::path("..")) != path.end()) {
      Fail(ErrorCode::kInvalidFile, "expected a path below the model's directory");
    }
    std::shared_ptr<const MappedFile>& file = files_[location];
    if (file == nullptr) {
      file = MappedFile::Open(directory_ / path);
    }
    return file;
  }

  fs::path directory_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

// Takes the elements out of `proto`, so that a large model is not held twice.
Tensor ReadTensor(::onnx::TensorProto* proto, ExternalFiles* files) {
  const DType dtype = onnx_file::FromProto(proto->data_type());
  Shape shape(proto->dims().begin(), proto->dims().end());
  const std::int64_t num_elements = NumElements(shape);
  Tensor tensor;
  if (proto->data_location() == ::onnx::TensorProto::EXTERNAL) {
    tensor = files->Read(*proto, dtype, std::move(shape));
  } else {
    if (!proto->has_raw_data() && num_elements != 0) {
      Fail(ErrorCode::kUnsupported, "elements that are not raw_data");
    }
    const std::string& raw = proto->raw_data();
    if (static_cast<std::int64_t>(raw.size()) / SizeOf(dtype) != num_elements ||
        static_cast<std::int64_t>(raw.size()) % SizeOf(dtype) != 0) {
      Fail(ErrorCode::kInvalidFile, "expected ", num_elements, " elements of ", ToString(dtype), ", got ", raw.size(),
           " bytes");
    }
    tensor = Tensor::FromBytes(dtype, std::move(shape), std::as_bytes(std::span(raw)));
    delete proto->release_raw_data();
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(tensor.data());
  if (dtype == DType::kBool && std::any_of(bytes, bytes + num_elements, [](unsigned char byte) { return byte > 1; })) {
    Fail(ErrorCode::kInvalidFile, "a bool that is neither 0 nor 1");
  }
  return tensor;
}

ValueType ReadType(const ::onnx::ValueInfoProto& proto) {
  if (!proto.type().has_tensor_type() || !proto.type().tensor_type().has_shape()) {
    Fail(ErrorCode::kUnsupported, "expected a tensor with a shape");
  }
  ValueType type{onnx_file::FromProto(proto.type().tensor_type().elem_type()), {}};
  for (const ::onnx::TensorShapeProto_Dimension& dim : proto.type().tensor_type().shape().dim()) {
    if (dim.has_dim_value() && dim.dim_value() >= 0) {
      type.shape.emplace_back(dim.dim_value());
    } else if (!dim.dim_param().empty()) {
      type.shape.emplace_back(dim.dim_param());
    } else {
      Fail(ErrorCode::kUnsupported, "dimension ", type.shape.size(), " has neither a size nor a name");
    }
  }
  return type;
}

Attribute ReadAttribute(const ::onnx::AttributeProto& proto) {
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
      Fail(ErrorCode::kUnsupported, "attribute '", proto.name(), "' of type ", static_cast<int>(proto.type()));
  }
}

class GraphReader {
 public:
  explicit GraphReader(const fs::path& directory) : files_(directory) {}

  PlainGraph Run(::onnx::GraphProto* proto, int opset) {
    plain_.opset = opset;
    for (const ::onnx::ValueInfoProto& input : proto->input()) {
      WithFrame([&] { return "input '" + input.name() + "'"; }, [&] { AddInput(input); });
    }
    for (::onnx::TensorProto& initializer : *proto->mutable_initializer()) {
      WithFrame([&] { return "tensor '" + initializer.name() + "'"; }, [&] { AddInitializer(&initializer); });
    }
    if (proto->sparse_initializer_size() != 0) {
      Fail(ErrorCode::kUnsupported, "sparse initializers");
    }
    for (const ::onnx::NodeProto& node : proto->node()) {
      WithFrame([&] { return "node '" + node.name() + "' (" + node.op_type() + ")"; }, [&] { AddNode(node); });
    }
    for (const ::onnx::ValueInfoProto& output : proto->output()) {
      plain_.outputs.push_back({Existing(output.name()), ReadType(output)});
    }
    return std::move(plain_);
  }

 private:
  ValueId Add(PlainValue value) {
    const auto [found, is_new] = by_name_.emplace(value.name, static_cast<ValueId>(plain_.values.size()));
    if (!is_new || value.name.empty()) {
      Fail(ErrorCode::kInvalidFile, value.name.empty() ? "a value without a name" : "two values are called '",
           value.name, value.name.empty() ? "" : "'");
    }
    return plain_.AddValue(std::move(value));
  }

  ValueId Existing(const std::string& name) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) {
      Fail(ErrorCode::kInvalidFile, "'", name, "' is used before anything computes it");
    }
    return found->second;
  }

  void AddInput(const ::onnx::ValueInfoProto& input) {
    PlainValue value{input.name()};
    value.is_input = true;
    const ValueId id = Add(std::move(value));
    plain_.inputs.push_back({id, ReadType(input)});
  }

  void AddInitializer(::onnx::TensorProto* proto) {
    const auto found = by_name_.find(proto->name());
    if (found != by_name_.end() && !plain_.value(found->second).constant) {
      plain_.value(found->second).constant = ReadTensor(proto, &files_);  // an input's default
    } else {
      Add({proto->name(), ReadTensor(proto, &files_), proto->doc_string()});
    }
  }

  void AddNode(const ::onnx::NodeProto& proto) {
    if (!IsOnnxDomain(proto.domain())) {
      Fail(ErrorCode::kUnsupported, "operator of the domain '", proto.domain(), "'");
    }
    PlainNode node{proto.op_type(), proto.name(), {}, {}, {}};
    for (const std::string& input : proto.input()) {
      node.inputs.push_back(input.empty() ? kNoValue : Existing(input));
    }
    for (const std::string& output : proto.output()) {
      node.outputs.push_back(Add({output}));
    }
    for (const ::onnx::AttributeProto& attribute : proto.attribute()) {
      if (!node.attributes.emplace(attribute.name(), ReadAttribute(attribute)).second) {
        Fail(ErrorCode::kInvalidFile, "two attributes are called '", attribute.name(), "'");
      }
    }
    plain_.nodes.push_back(std::move(node));
  }

  PlainGraph plain_;
  ExternalFiles files_;
  std::unordered_map<std::string, ValueId> by_name_;
};

int ReadOpset(const ::onnx::ModelProto& model) {
  for (const ::onnx::OperatorSetIdProto& import : model.opset_import()) {
    if (!IsOnnxDomain(import.domain())) {
      continue;
    }
    if (import.version() < kMinOnnxOpset || import.version() > kMaxOnnxOpset) {
      Fail(ErrorCode::kUnsupported, "opset ", import.version(), "; known are ", kMinOnnxOpset, " to ", kMaxOnnxOpset);
    }
    return static_cast<int>(import.version());
  }
  Fail(ErrorCode::kInvalidFile, "not an ONNX model: it names no opset");
}

}  // namespace

OnnxModel ReadOnnx(const fs::path& file) {
  return WithFrame([&] { return "file '" + file.string() + "'"; },
                   [&] {
                     ::onnx::ModelProto proto = ParseModel(file);
                     OnnxModel model;
                     model.opset = ReadOpset(proto);
                     for (const ::onnx::StringStringEntryProto& entry : proto.metadata_props()) {
                       model.metadata[entry.key()] = entry.value();
                     }
                     model.graph =
                         onnx_file::Recognise(GraphReader(file.parent_path()).Run(proto.mutable_graph(), model.opset));
                     return model;
                   });
}

}  // namespace laconic
