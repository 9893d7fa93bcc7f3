#include <limits>

#include <google/protobuf/io/coded_stream.h>

#include "base/file.h"
#include "base/mapped_file.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/read_graph.h"
#include "formats/onnx/recognise.h"
#include "laconic/error.h"
#include "onnx-ml.pb.h"

namespace laconic {
namespace {

namespace fs = std::filesystem;
using google::protobuf::io::CodedInputStream;

// What a message holds besides tensors' elements takes far more memory than file: 2 bytes make an object of 150. A
// graph of BERT-large's size with all its exporter's notes has 20 MB of it.
constexpr std::int64_t kMaxStructureBytes = std::int64_t{96} << 20;

struct Measure {
  std::int64_t bulk_bytes = 0;  // of tensors' elements
  std::int64_t num_nodes = 0;
};

// Adds up the message in the next `size` bytes, which `kind` says the meaning of; looks into what may hold tensors.
// Malformed parts are left to the parser.
enum class Message { kModel, kGraph, kNode, kAttribute, kTensor };
void MeasureMessage(CodedInputStream* in, Message kind, Measure* measure) {
  constexpr std::uint32_t kLengthDelimited = 2;
  while (const std::uint32_t tag = in->ReadTag()) {
    const std::uint32_t wire_type = tag & 7U;
    const auto field = static_cast<int>(tag >> 3U);
    std::uint64_t varint = 0;
    std::uint32_t length = 0;
    const bool has_bytes = wire_type == kLengthDelimited;
    if (has_bytes        ? !in->ReadVarint32(&length)
        : wire_type == 0 ? !in->ReadVarint64(&varint)
                         : !in->Skip(wire_type == 1   ? 8
                                     : wire_type == 5 ? 4
                                                      : -1)) {
      return;
    }
    if (!has_bytes) {
      continue;
    }
    std::optional<Message> inner;
    if (kind == Message::kModel && field == ::onnx::ModelProto::kGraphFieldNumber) inner = Message::kGraph;
    if (kind == Message::kGraph && field == ::onnx::GraphProto::kInitializerFieldNumber) inner = Message::kTensor;
    if (kind == Message::kGraph && field == ::onnx::GraphProto::kNodeFieldNumber) inner = Message::kNode;
    if (kind == Message::kNode && field == ::onnx::NodeProto::kAttributeFieldNumber) inner = Message::kAttribute;
    if (kind == Message::kAttribute && field == ::onnx::AttributeProto::kTFieldNumber) inner = Message::kTensor;
    measure->num_nodes += inner == Message::kNode ? 1 : 0;
    if (inner) {
      const auto limit = in->PushLimit(static_cast<int>(length));
      MeasureMessage(in, *inner, measure);
      in->Skip(in->BytesUntilLimit());
      in->PopLimit(limit);
      continue;
    }
    const bool as_many = field == ::onnx::TensorProto::kRawDataFieldNumber ||
                         field == ::onnx::TensorProto::kFloatDataFieldNumber ||
                         field == ::onnx::TensorProto::kDoubleDataFieldNumber;
    const bool varints =
        field == ::onnx::TensorProto::kInt32DataFieldNumber || field == ::onnx::TensorProto::kInt64DataFieldNumber;
    if (kind == Message::kTensor && (as_many || varints)) {
      measure->bulk_bytes += as_many ? length : length - length / 8;  // a byte may become 8
    }
    if (!in->Skip(static_cast<int>(length))) {
      return;
    }
  }
}

// Before the parser builds a graph of it: a file must not dictate how much memory that takes.
void CheckSize(const fs::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::Open(path);
  const auto size = static_cast<std::int64_t>(file->bytes().size());
  if (size > std::numeric_limits<std::int32_t>::max()) {
    Fail(ErrorCode::kInvalidFile, size, " bytes are more than an ONNX model can have");
  }
  CodedInputStream in(reinterpret_cast<const std::uint8_t*>(file->bytes().data()), static_cast<int>(size));
  Measure measure;
  MeasureMessage(&in, Message::kModel, &measure);
  if (measure.num_nodes > onnx_file::kMaxNodes) {
    Fail(ErrorCode::kResource, "expected at most ", onnx_file::kMaxNodes, " nodes, got ", measure.num_nodes);
  }
  if (size - measure.bulk_bytes > kMaxStructureBytes) {
    Fail(ErrorCode::kResource, "expected at most ", kMaxStructureBytes, " bytes besides the tensors' elements, got ",
         size - measure.bulk_bytes);
  }
}

::onnx::ModelProto ParseModel(const fs::path& path) {
  CheckSize(path);
  // Read, not mapped: protobuf copies what it parses, and mapped pages would stay beside the copies.
  const RegularFile file = OpenRegularFile(path);
  ::onnx::ModelProto model;
  if (!model.ParseFromFileDescriptor(file.descriptor.get())) {
    Fail(ErrorCode::kInvalidFile,
         "not an ONNX model: it does not parse as protobuf, or its messages stand in one another more than 100 deep");
  }
  return model;
}

}  // namespace

OnnxModel ReadOnnx(const fs::path& file) {
  return WithFrame([&] { return "file '" + file.string() + "'"; },
                   [&] {
                     ::onnx::ModelProto proto = ParseModel(file);
                     OnnxModel model;
                     for (const ::onnx::StringStringEntryProto& entry : proto.metadata_props()) {
                       model.metadata[entry.key()] = entry.value();
                     }
                     const onnx_file::PlainGraph plain = onnx_file::ReadGraph(&proto, file.parent_path());
                     model.opset = plain.opset;
                     model.graph = onnx_file::Recognise(plain);
                     return model;
                   });
}

}  // namespace laconic
