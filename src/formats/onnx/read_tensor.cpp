#include "formats/onnx/read_tensor.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "formats/onnx/proto_types.h"
#include "laconic/error.h"
#include "tensor/tensor_map.h"

namespace laconic::onnx_file {
namespace {

namespace fs = std::filesystem;

std::int64_t Integer(const ::onnx::StringStringEntryProto& entry) {
  const std::string& text = entry.value();
  std::int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    Fail(ErrorCode::kInvalidFile, "external data's ", entry.key(), ": expected a size, got '", text, "'");
  }
  return value;
}

// The typed field's numbers as elements T, which are in the field's lowest bits.
template <typename T, typename Field>
Tensor FromField(const Field& field, DType dtype, Shape shape) {
  const std::int64_t num_elements = NumElements(shape);
  if (field.size() != num_elements) {
    Fail(ErrorCode::kInvalidFile, "expected ", num_elements, " elements of ", ToString(dtype), ", got ", field.size());
  }
  return Tensor::Make(dtype, std::move(shape), [&](std::byte* bytes) {
    for (const auto value : field) {
      const auto element = static_cast<T>(value);
      std::memcpy(bytes, &element, sizeof element);
      bytes += sizeof element;
    }
  });
}

Tensor FromTypedField(const ::onnx::TensorProto& proto, DType dtype, Shape shape) {
  switch (dtype) {
    case DType::kF32:
      return FromField<float>(proto.float_data(), dtype, std::move(shape));
    case DType::kF64:
      return FromField<double>(proto.double_data(), dtype, std::move(shape));
    case DType::kS64:
      return FromField<std::int64_t>(proto.int64_data(), dtype, std::move(shape));
    case DType::kS32:
      return FromField<std::int32_t>(proto.int32_data(), dtype, std::move(shape));
    case DType::kS16:
    case DType::kF16:
    case DType::kBF16:
      return FromField<std::uint16_t>(proto.int32_data(), dtype, std::move(shape));
    case DType::kS8:
    case DType::kU8:
    case DType::kBool:
      return FromField<std::uint8_t>(proto.int32_data(), dtype, std::move(shape));
  }
  Fail(ErrorCode::kInternal, "dtype without a field");
}

Tensor FromRawData(const ::onnx::TensorProto& proto, DType dtype, Shape shape) {
  const std::string& raw = proto.raw_data();
  const std::int64_t num_elements = NumElements(shape);
  if (static_cast<std::int64_t>(raw.size()) / SizeOf(dtype) != num_elements ||
      static_cast<std::int64_t>(raw.size()) % SizeOf(dtype) != 0) {
    Fail(ErrorCode::kInvalidFile, "expected ", num_elements, " elements of ", ToString(dtype), ", got ", raw.size(),
         " bytes");
  }
  return Tensor::FromBytes(dtype, std::move(shape), std::as_bytes(std::span(raw)));
}

}  // namespace

Tensor TensorReader::Read(const ::onnx::TensorProto& proto) {
  const DType dtype = FromProto(proto.data_type());
  Shape shape(proto.dims().begin(), proto.dims().end());
  const std::int64_t num_elements = NumElements(shape);
  Tensor tensor;
  if (proto.data_location() == ::onnx::TensorProto::EXTERNAL) {
    tensor = ReadExternal(proto, dtype, std::move(shape));
  } else if (proto.has_raw_data()) {
    tensor = FromRawData(proto, dtype, std::move(shape));
  } else {
    tensor = FromTypedField(proto, dtype, std::move(shape));
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(tensor.data());
  if (dtype == DType::kBool && std::any_of(bytes, bytes + num_elements, [](unsigned char byte) { return byte > 1; })) {
    Fail(ErrorCode::kInvalidFile, "a bool that is neither 0 nor 1");
  }
  return tensor;
}

std::vector<fs::path> TensorReader::external_files() const {
  std::vector<fs::path> paths;
  for (const auto& [location, file] : files_) {
    paths.push_back(directory_ / location);
  }
  return paths;
}

Tensor TensorReader::ReadExternal(const ::onnx::TensorProto& proto, DType dtype, Shape shape) {
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
                   [&] { return MapTensor(Open(location), offset, dtype, std::move(shape)); });
}

const std::shared_ptr<const MappedFile>& TensorReader::Open(const std::string& location) {
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

}  // namespace laconic::onnx_file
