#include "formats/safetensors/safetensors.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/mapped_file.h"
#include "laconic/error.h"

namespace laconic::safetensors {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kLengthBytes = 8;
constexpr std::int64_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation

DType ParseSafetensorsDType(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, DType>, 10> kDTypes = {{{"F64", DType::kF64},
                                                                           {"F32", DType::kF32},
                                                                           {"F16", DType::kF16},
                                                                           {"BF16", DType::kBF16},
                                                                           {"I64", DType::kS64},
                                                                           {"I32", DType::kS32},
                                                                           {"I16", DType::kS16},
                                                                           {"I8", DType::kS8},
                                                                           {"U8", DType::kU8},
                                                                           {"BOOL", DType::kBool}}};
  const auto* found =
      std::find_if(kDTypes.begin(), kDTypes.end(), [&](const auto& entry) { return entry.first == name; });
  if (found == kDTypes.end()) {
    Fail(ErrorCode::kUnsupported,
         "expected one of the dtypes F64, F32, F16, BF16, I64, I32, I16, I8, U8 and BOOL, got '", name, "'");
  }
  return found->second;
}

// The header's text, after the length has been checked against the file.
std::string_view HeaderText(std::span<const std::byte> file) {
  const auto file_bytes = static_cast<std::int64_t>(file.size());
  if (file_bytes < kLengthBytes) {
    Fail(ErrorCode::kInvalidFile, "expected at least ", kLengthBytes, " bytes, got ", file_bytes);
  }
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) {
    length = length << 8 | std::to_integer<std::uint64_t>(file[i]);
  }
  if (length > static_cast<std::uint64_t>(kMaxHeaderBytes)) {
    Fail(ErrorCode::kInvalidFile, "expected a header of at most ", kMaxHeaderBytes, " bytes, got ", length);
  }
  if (static_cast<std::int64_t>(length) > file_bytes - kLengthBytes) {
    Fail(ErrorCode::kInvalidFile, "the header of ", length, " bytes ends past the file's ", file_bytes, " bytes");
  }
  return {reinterpret_cast<const char*>(file.data()) + kLengthBytes, static_cast<std::size_t>(length)};
}

json ParseHeaderJson(std::string_view text) {
  constexpr int kMaxDepth = 3;  // header, tensor, shape
  const JsonOutline outline = ScanJson(text);
  if (outline.depth > kMaxDepth) {
    Fail(ErrorCode::kInvalidFile, "the header nests deeper than a tensor's shape");
  }
  json header = ParseJson(text);
  if (!header.is_object()) {
    Fail(ErrorCode::kInvalidFile, "expected the header to be an object, got ", header.type_name());
  }
  if (header.size() != outline.num_members) {
    Fail(ErrorCode::kInvalidFile, "two tensors have the same name");
  }
  return header;
}

std::map<std::string, std::string> ParseMetadata(const json& object) {
  std::map<std::string, std::string> metadata;
  if (!object.is_object()) {
    Fail(ErrorCode::kInvalidFile, "expected '__metadata__' to be an object, got ", object.type_name());
  }
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) {
      Fail(ErrorCode::kInvalidFile, "expected a string for '", key, "' of '__metadata__', got ", value.type_name());
    }
    metadata.emplace(key, value);
  }
  return metadata;
}

std::vector<std::int64_t> ParseSizes(const json& tensor, const char* key) {
  const auto found = tensor.find(key);
  if (found == tensor.end() || !found->is_array()) {
    Fail(ErrorCode::kInvalidFile, "expected an array '", key, "'");
  }
  std::vector<std::int64_t> sizes;
  for (const json& size : *found) {
    if (!size.is_number_unsigned() || size.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
      Fail(ErrorCode::kInvalidFile, "expected '", key, "' to hold integers from 0 to 2^63 - 1");
    }
    sizes.push_back(size);
  }
  return sizes;
}

// One entry of the header; its offset is from the start of the data.
TensorInfo ParseTensor(const std::string& name, const json& tensor) {
  if (!tensor.is_object()) {
    Fail(ErrorCode::kInvalidFile, "expected an object, got ", tensor.type_name());
  }
  const auto dtype = tensor.find("dtype");
  if (dtype == tensor.end() || !dtype->is_string()) {
    Fail(ErrorCode::kInvalidFile, "expected a string 'dtype'");
  }
  const std::vector<std::int64_t> offsets = ParseSizes(tensor, "data_offsets");
  if (offsets.size() != 2) {
    Fail(ErrorCode::kInvalidFile, "expected 2 'data_offsets', got ", offsets.size());
  }
  if (offsets[1] < offsets[0]) {
    Fail(ErrorCode::kInvalidFile, "'data_offsets' ", ToString(offsets), " end before they begin");
  }
  TensorInfo info{name, ParseSafetensorsDType(*dtype), ParseSizes(tensor, "shape"), offsets[0],
                  offsets[1] - offsets[0]};
  const std::int64_t num_elements = NumElements(info.shape);
  const std::int64_t element_bytes = SizeOf(info.dtype);
  if (info.size_bytes % element_bytes != 0 || info.size_bytes / element_bytes != num_elements) {
    Fail(ErrorCode::kInvalidFile, "expected ", num_elements, " elements of ", element_bytes, " bytes for shape ",
         ToString(info.shape), ", got 'data_offsets' ", ToString(offsets), ", ", info.size_bytes, " bytes");
  }
  return info;
}

// `tensors` in order of their bytes: each must begin where the one before ends.
void CheckTiling(const std::vector<TensorInfo>& tensors, std::int64_t data_bytes) {
  std::int64_t end = 0;
  for (const TensorInfo& info : tensors) {
    const auto check = [&] {
      if (info.offset_bytes > data_bytes || info.size_bytes > data_bytes - info.offset_bytes) {
        Fail(ErrorCode::kInvalidFile, "'data_offsets' end at ", info.offset_bytes + info.size_bytes,
             ", past the file's ", data_bytes, " bytes of data");
      }
      if (info.offset_bytes != end) {
        Fail(ErrorCode::kInvalidFile, "'data_offsets' begin at ", info.offset_bytes,
             info.offset_bytes < end ? ", inside the tensor before, which ends at "
                                     : ", leaving a gap after the tensor before, which ends at ",
             end);
      }
    };
    WithFrame([&] { return "tensor '" + info.name + "'"; }, check);
    end += info.size_bytes;
  }
  if (end != data_bytes) {
    Fail(ErrorCode::kInvalidFile, "expected the file to end with its last tensor, got ", data_bytes - end,
         " more bytes");
  }
}

}  // namespace

Header ParseHeader(std::span<const std::byte> file) {
  const std::string_view text = HeaderText(file);
  const json object = ParseHeaderJson(text);
  Header header;
  for (const auto& item : object.items()) {
    if (item.key() == "__metadata__") {
      header.metadata = ParseMetadata(item.value());
    } else {
      header.tensors.push_back(WithFrame([&] { return "tensor '" + item.key() + "'"; },
                                         [&] { return ParseTensor(item.key(), item.value()); }));
    }
  }
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.offset_bytes, a.size_bytes) < std::tie(b.offset_bytes, b.size_bytes);
  });
  const std::int64_t data_begin = kLengthBytes + static_cast<std::int64_t>(text.size());
  CheckTiling(header.tensors, static_cast<std::int64_t>(file.size()) - data_begin);
  for (TensorInfo& info : header.tensors) {
    info.offset_bytes += data_begin;
  }
  return header;
}

TensorMap ReadFile(const fs::path& path) {
  const auto read = [&] {
    const std::shared_ptr<const MappedFile> file = MappedFile::Open(path);
    TensorMap tensors;
    for (const TensorInfo& info : ParseHeader(file->bytes()).tensors) {
      tensors.emplace(info.name, MapTensor(file, info.offset_bytes, info.dtype, info.shape));
    }
    return tensors;
  };
  return WithFrame([&] { return "file '" + path.string() + "'"; }, read);
}

std::optional<Checkpoint> FindCheckpoint(const fs::path& directory) {
  return laconic::FindCheckpoint(directory, "model.safetensors", ReadFile);
}

}  // namespace laconic::safetensors
