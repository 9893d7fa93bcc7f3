#include <limits>
#include <optional>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "base/cancel.h"
#include "base/file.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/proto_types.h"
#include "formats/onnx/to_plain_graph.h"
#include "laconic/error.h"
#include "laconic/version.h"
#include "onnx-ml.pb.h"

namespace laconic {
namespace {

namespace fs = std::filesystem;
using onnx_file::PlainGraph;
using onnx_file::PlainNode;
using onnx_file::PlainPort;
using onnx_file::PlainValue;

constexpr std::int64_t kAlignment = 64;  // of tensors in external data; smaller ones stay in the model
constexpr std::int64_t kMaxModelBytes = std::numeric_limits<std::int32_t>::max();  // protobuf's limit

// The file format's version that came with each opset (ONNX's docs/Versioning.md), from kMinOnnxOpset on.
int IrVersion(int opset) {
  constexpr int kVersions[] = {7, 8, 8, 8, 8, 9, 9, 10, 10, 11};
  return kVersions[opset - kMinOnnxOpset];
}

void SetAttribute(const Attribute& value, ::onnx::AttributeProto* proto) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    proto->set_type(::onnx::AttributeProto::INT);
    proto->set_i(*integer);
  } else if (const auto* number = std::get_if<float>(&value)) {
    proto->set_type(::onnx::AttributeProto::FLOAT);
    proto->set_f(*number);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    proto->set_type(::onnx::AttributeProto::STRING);
    proto->set_s(*text);
  } else {
    const auto& integers = std::get<std::vector<std::int64_t>>(value);
    proto->set_type(::onnx::AttributeProto::INTS);
    proto->mutable_ints()->Assign(integers.begin(), integers.end());
  }
}

void SetNode(const PlainGraph& graph, const PlainNode& node, ::onnx::NodeProto* proto) {
  proto->set_op_type(node.op);
  proto->set_name(node.name);
  if (!node.doc.empty()) {
    proto->set_doc_string(node.doc);
  }
  for (const ValueId input : node.inputs) {
    proto->add_input(input == kNoValue ? "" : graph.value(input).name);
  }
  for (const ValueId output : node.outputs) {
    proto->add_output(output == kNoValue ? "" : graph.value(output).name);
  }
  for (const auto& [name, value] : node.attributes) {
    ::onnx::AttributeProto* attribute = proto->add_attribute();
    attribute->set_name(name);
    SetAttribute(value, attribute);
  }
}

void SetPort(const PlainGraph& graph, const PlainPort& port, ::onnx::ValueInfoProto* proto) {
  proto->set_name(graph.value(port.value).name);
  ::onnx::TypeProto_Tensor* type = proto->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx_file::ToProto(port.type.dtype));
  if (!port.type.has_shape) {
    return;
  }
  ::onnx::TensorShapeProto* shape = type->mutable_shape();
  for (const Dim& dim : port.type.shape) {
    if (dim.is_fixed()) {
      shape->add_dim()->set_dim_value(dim.size);
    } else if (dim.is_unknown()) {
      shape->add_dim();
    } else {
      shape->add_dim()->set_dim_param(dim.symbol);
    }
  }
}

// All but the initializers.
::onnx::GraphProto MakeGraph(const PlainGraph& graph) {
  ::onnx::GraphProto proto;
  proto.set_name("laconic");
  for (const PlainNode& node : graph.nodes) {
    SetNode(graph, node, proto.add_node());
  }
  for (const PlainPort& input : graph.inputs) {
    SetPort(graph, input, proto.add_input());
  }
  for (const PlainPort& output : graph.outputs) {
    SetPort(graph, output, proto.add_output());
  }
  return proto;
}

// All but the graph.
::onnx::ModelProto MakeModel(const OnnxWriteOptions& options) {
  ::onnx::ModelProto proto;
  proto.set_ir_version(IrVersion(options.opset));
  proto.set_producer_name("laconic");
  proto.set_producer_version(std::string(kVersion));
  proto.add_opset_import()->set_version(options.opset);
  for (const auto& [key, value] : options.metadata) {
    ::onnx::StringStringEntryProto* entry = proto.add_metadata_props();
    entry->set_key(key);
    entry->set_value(value);
  }
  return proto;
}

// The elements in row-major order, to `file`; a copy, if one is needed, lives only so long.
void WriteElements(const Tensor& tensor, AtomicFile* file) {
  ThrowIfCancelled();
  const Tensor flat = tensor.Contiguous();
  file->Write({flat.data(), static_cast<std::size_t>(flat.size_bytes())});
  tensor.ReleasePages();
}

// Appends tensors to the external data.
class ExternalData {
 public:
  ExternalData(const fs::path& path, bool force) : location_(path.filename().string()), file_(path, force) {}

  void Add(const Tensor& tensor, ::onnx::TensorProto* proto) {
    const std::string padding(static_cast<std::size_t>(-file_.size_bytes() & (kAlignment - 1)), '\0');
    file_.Write(padding);
    proto->set_data_location(::onnx::TensorProto::EXTERNAL);
    AddEntry("location", location_, proto);
    AddEntry("offset", std::to_string(file_.size_bytes()), proto);
    AddEntry("length", std::to_string(tensor.size_bytes()), proto);
    WriteElements(tensor, &file_);
  }

  void Commit() { file_.Commit(); }

 private:
  static void AddEntry(const char* key, const std::string& value, ::onnx::TensorProto* proto) {
    ::onnx::StringStringEntryProto* entry = proto->add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }

  std::string location_;
  AtomicFile file_;
};

// A protobuf field that holds `size` bytes: its tag and length.
std::string FieldHeader(int number, std::int64_t size) {
  constexpr std::uint32_t kLengthDelimited = 2;
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.WriteVarint32(static_cast<std::uint32_t>(number) << 3 | kLengthDelimited);
    coded.WriteVarint64(static_cast<std::uint64_t>(size));
  }
  return bytes;
}

// An initializer's message but for elements that follow it.
struct InitializerMessage {
  std::string head;                  // with the headers of the fields that hold it and that it ends with
  const Tensor* elements = nullptr;  // null: they are elsewhere
  std::int64_t size_bytes() const {
    return static_cast<std::int64_t>(head.size()) + (elements ? elements->size_bytes() : 0);
  }
};

InitializerMessage MakeInitializer(const PlainValue& value, ExternalData* external) {
  const Tensor& tensor = *value.constant;
  ::onnx::TensorProto proto;
  proto.set_name(value.name);
  proto.set_data_type(onnx_file::ToProto(tensor.dtype()));
  proto.mutable_dims()->Assign(tensor.shape().begin(), tensor.shape().end());
  if (!value.doc.empty()) {
    proto.set_doc_string(value.doc);
  }
  const bool is_external = external != nullptr && tensor.size_bytes() > kAlignment;
  if (is_external) {
    external->Add(tensor, &proto);
  }
  std::string body = proto.SerializeAsString();
  body += is_external ? "" : FieldHeader(::onnx::TensorProto::kRawDataFieldNumber, tensor.size_bytes());
  const auto size = static_cast<std::int64_t>(body.size()) + (is_external ? 0 : tensor.size_bytes());
  return {FieldHeader(::onnx::GraphProto::kInitializerFieldNumber, size) + body, is_external ? nullptr : &tensor};
}

}  // namespace

void WriteOnnx(const Graph& graph, const fs::path& file, const OnnxWriteOptions& options) {
  if (options.opset < kMinOnnxOpset || options.opset > kMaxOnnxOpset) {
    Fail(ErrorCode::kInvalidArgument, "expected an opset from ", kMinOnnxOpset, " to ", kMaxOnnxOpset, ", got ",
         options.opset);
  }
  const PlainGraph plain = onnx_file::ToPlainGraph(graph, options.opset, options.quantization);
  std::optional<ExternalData> external;
  if (options.external_data) {
    external.emplace(file.string() + ".data", options.force);
  }
  // Fields of a message may be written one by one, so the tensors need not be gathered in memory.
  const std::string head = MakeModel(options).SerializeAsString();
  const std::string body = MakeGraph(plain).SerializeAsString();
  std::vector<InitializerMessage> initializers;
  auto graph_bytes = static_cast<std::int64_t>(body.size());
  for (const PlainValue& value : plain.values) {
    if (value.constant) {
      initializers.push_back(MakeInitializer(value, external ? &*external : nullptr));
      graph_bytes += initializers.back().size_bytes();
    }
  }
  const std::string graph_header = FieldHeader(::onnx::ModelProto::kGraphFieldNumber, graph_bytes);
  if (static_cast<std::int64_t>(head.size() + graph_header.size()) + graph_bytes > kMaxModelBytes) {
    Fail(ErrorCode::kInvalidArgument, "a model of ", graph_bytes, " bytes does not fit one ONNX file (at most ",
         kMaxModelBytes, " bytes); write it with external data");
  }
  AtomicFile out(file, options.force);
  out.Write(head);
  out.Write(graph_header);
  out.Write(body);
  for (const InitializerMessage& initializer : initializers) {
    out.Write(initializer.head);
    if (initializer.elements != nullptr) {
      WriteElements(*initializer.elements, &out);
    }
  }
  if (external) {
    external->Commit();
  }
  out.Commit();
}

}  // namespace laconic
