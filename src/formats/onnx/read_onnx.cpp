#include <algorithm>
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

// What a message holds besides tensors' elements. A graph of BERT-large's size with all its exporter's notes has 20 MB.
constexpr std::int64_t kMaxStructureBytes = std::int64_t{96} << 20;

// Messages and strings take far more memory than file: 2 bytes make an object of up to 250. BERT-large has 200,000.
constexpr std::int64_t kMaxObjects = 4'000'000;

constexpr int kMaxMessageNesting = 100;  // protobuf's own

struct Measure {
  std::int64_t bulk_bytes = 0;  // of tensors' elements
  std::int64_t num_nodes = 0;
  std::int64_t num_objects = 0;
};

// kOther: not looked into, but counted as if it held nothing but objects of 2 bytes.
enum class Message { kModel, kGraph, kFunction, kNode, kAttribute, kTensor, kValueInfo, kPair, kOther };

// The messages that a message's fields hold; other fields of bytes are strings or numbers.
struct Part {
  Message whole;
  int field;
  Message part;
};
constexpr Part kParts[] = {
    {Message::kModel, ::onnx::ModelProto::kGraphFieldNumber, Message::kGraph},
    {Message::kModel, ::onnx::ModelProto::kFunctionsFieldNumber, Message::kFunction},
    {Message::kModel, ::onnx::ModelProto::kOpsetImportFieldNumber, Message::kPair},
    {Message::kModel, ::onnx::ModelProto::kMetadataPropsFieldNumber, Message::kPair},
    {Message::kModel, ::onnx::ModelProto::kTrainingInfoFieldNumber, Message::kOther},
    {Message::kModel, ::onnx::ModelProto::kConfigurationFieldNumber, Message::kOther},
    {Message::kGraph, ::onnx::GraphProto::kNodeFieldNumber, Message::kNode},
    {Message::kGraph, ::onnx::GraphProto::kInitializerFieldNumber, Message::kTensor},
    {Message::kGraph, ::onnx::GraphProto::kSparseInitializerFieldNumber, Message::kOther},
    {Message::kGraph, ::onnx::GraphProto::kInputFieldNumber, Message::kValueInfo},
    {Message::kGraph, ::onnx::GraphProto::kOutputFieldNumber, Message::kValueInfo},
    {Message::kGraph, ::onnx::GraphProto::kValueInfoFieldNumber, Message::kValueInfo},
    {Message::kGraph, ::onnx::GraphProto::kQuantizationAnnotationFieldNumber, Message::kOther},
    {Message::kGraph, ::onnx::GraphProto::kMetadataPropsFieldNumber, Message::kPair},
    {Message::kFunction, ::onnx::FunctionProto::kNodeFieldNumber, Message::kNode},
    {Message::kFunction, ::onnx::FunctionProto::kAttributeProtoFieldNumber, Message::kAttribute},
    {Message::kFunction, ::onnx::FunctionProto::kOpsetImportFieldNumber, Message::kPair},
    {Message::kFunction, ::onnx::FunctionProto::kValueInfoFieldNumber, Message::kValueInfo},
    {Message::kFunction, ::onnx::FunctionProto::kMetadataPropsFieldNumber, Message::kPair},
    {Message::kNode, ::onnx::NodeProto::kAttributeFieldNumber, Message::kAttribute},
    {Message::kNode, ::onnx::NodeProto::kMetadataPropsFieldNumber, Message::kPair},
    {Message::kNode, ::onnx::NodeProto::kDeviceConfigurationsFieldNumber, Message::kOther},
    {Message::kAttribute, ::onnx::AttributeProto::kTFieldNumber, Message::kTensor},
    {Message::kAttribute, ::onnx::AttributeProto::kGFieldNumber, Message::kGraph},
    {Message::kAttribute, ::onnx::AttributeProto::kTensorsFieldNumber, Message::kTensor},
    {Message::kAttribute, ::onnx::AttributeProto::kGraphsFieldNumber, Message::kGraph},
    {Message::kAttribute, ::onnx::AttributeProto::kTpFieldNumber, Message::kOther},
    {Message::kAttribute, ::onnx::AttributeProto::kTypeProtosFieldNumber, Message::kOther},
    {Message::kAttribute, ::onnx::AttributeProto::kSparseTensorFieldNumber, Message::kOther},
    {Message::kAttribute, ::onnx::AttributeProto::kSparseTensorsFieldNumber, Message::kOther},
    {Message::kTensor, ::onnx::TensorProto::kExternalDataFieldNumber, Message::kPair},
    {Message::kTensor, ::onnx::TensorProto::kMetadataPropsFieldNumber, Message::kPair},
    {Message::kValueInfo, ::onnx::ValueInfoProto::kTypeFieldNumber, Message::kOther},
    {Message::kValueInfo, ::onnx::ValueInfoProto::kMetadataPropsFieldNumber, Message::kPair},
};

const Part* FindPart(Message whole, int field) {
  const auto* const found =
      std::ranges::find_if(kParts, [=](const Part& part) { return part.whole == whole && part.field == field; });
  return found == std::end(kParts) ? nullptr : found;
}

// How many of the bytes of a field of bytes in a tensor are elements; the others count as structure.
std::int64_t BulkBytes(int field, std::uint32_t length) {
  switch (field) {
    case ::onnx::TensorProto::kRawDataFieldNumber:
    case ::onnx::TensorProto::kFloatDataFieldNumber:
    case ::onnx::TensorProto::kDoubleDataFieldNumber:
      return length;
    case ::onnx::TensorProto::kInt32DataFieldNumber:
    case ::onnx::TensorProto::kInt64DataFieldNumber:
      return length - length / 8;  // a byte may become 8
    default:
      return 0;
  }
}

// Adds up the message in the next bytes of `in`. Malformed parts are left to the parser, which stops at them.
// Errors: kInvalidFile for a group, which the parser would step over.
void MeasureMessage(CodedInputStream* in, Message kind, int nesting, Measure* measure) {
  while (const std::uint32_t tag = in->ReadTag()) {
    const auto field = static_cast<int>(tag >> 3U);
    std::uint64_t varint = 0;
    std::uint32_t length = 0;
    switch (tag & 7U) {
      case 0:
        if (!in->ReadVarint64(&varint)) return;
        continue;
      case 1:
        if (!in->Skip(8)) return;
        continue;
      case 5:
        if (!in->Skip(4)) return;
        continue;
      case 2:
        if (!in->ReadVarint32(&length)) return;
        break;
      default:
        Fail(ErrorCode::kInvalidFile, "not an ONNX model: field ", field, " is a group");
    }
    const Part* part = FindPart(kind, field);
    measure->num_objects += part != nullptr && part->part == Message::kOther ? 1 + length / 2 : 1;
    measure->num_nodes += part != nullptr && part->part == Message::kNode ? 1 : 0;
    if (part != nullptr && part->part != Message::kOther && nesting < kMaxMessageNesting) {
      const auto limit = in->PushLimit(static_cast<int>(length));
      MeasureMessage(in, part->part, nesting + 1, measure);
      in->Skip(in->BytesUntilLimit());
      in->PopLimit(limit);
      continue;
    }
    measure->bulk_bytes += kind == Message::kTensor ? BulkBytes(field, length) : 0;
    if (!in->Skip(static_cast<int>(length))) return;
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
  MeasureMessage(&in, Message::kModel, 0, &measure);
  if (measure.num_nodes > onnx_file::kMaxNodes) {
    Fail(ErrorCode::kResource, "expected at most ", onnx_file::kMaxNodes, " nodes, got ", measure.num_nodes);
  }
  if (measure.num_objects > kMaxObjects) {
    Fail(ErrorCode::kResource, "expected at most ", kMaxObjects, " messages and strings, got ", measure.num_objects);
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
                     model.files = plain.external_files;
                     model.files.insert(model.files.begin(), file);
                     model.opset = plain.opset;
                     for (const onnx_file::PlainPort& output : plain.outputs) {
                       model.outputs[plain.value(output.value).name] = output.type;
                     }
                     model.graph = onnx_file::Recognise(plain);
                     return model;
                   });
}

}  // namespace laconic
