#include "formats/safetensors/safetensors.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

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

// The header as JSON. Duplicate names, which a JSON object would hide, are refused, and so is what nests deeper than a
// shape, before memory is spent on it.
json ParseHeaderJson(std::string_view text) {
  constexpr int kMaxDepth = 2;  // header, tensor, shape
  std::set<std::string> names;
  const auto check = [&](int depth, json::parse_event_t event, const json& value) {
    using Event = json::parse_event_t;
    if ((event == Event::object_start || event == Event::array_start) && depth > kMaxDepth) {
      Fail(ErrorCode::kInvalidFile, "the header nests deeper than a tensor's shape");
    }
    if (event == Event::key && depth == 1 && !names.insert(value.get<std::string>()).second) {
      Fail(ErrorCode::kInvalidFile, "two tensors are named '", value.get<std::string>(), "'");
    }
    return true;
  };
  json header;
  try {
    header = json::parse(text, check);
  } catch (const json::exception& error) {
    Fail(ErrorCode::kInvalidFile, "malformed header: ", error.what());
  }
  if (!header.is_object()) {
    Fail(ErrorCode::kInvalidFile, "expected the header to be an object, got ", header.type_name());
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

struct Extent {
  TensorInfo info;  // offset_bytes from the start of the data
  std::int64_t end_bytes = 0;
};

Extent ParseTensor(const std::string& name, const json& tensor) {
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
  Extent extent{{name, ParseSafetensorsDType(*dtype), ParseSizes(tensor, "shape"), offsets[0]}, offsets[1]};
  const std::int64_t length = offsets[1] - offsets[0];
  const std::int64_t num_elements = NumElements(extent.info.shape);
  const std::int64_t element_bytes = SizeOf(extent.info.dtype);
  if (length % element_bytes != 0 || length / element_bytes != num_elements) {
    Fail(ErrorCode::kInvalidFile, "expected ", num_elements, " elements of ", element_bytes, " bytes for shape ",
         ToString(extent.info.shape), ", got 'data_offsets' ", ToString(offsets), ", ", length, " bytes");
  }
  return extent;
}

// `extents` in order of their bytes: each must begin where the one before ends.
void CheckTiling(const std::vector<Extent>& extents, std::int64_t data_bytes) {
  std::int64_t end = 0;
  for (const Extent& extent : extents) {
    WithFrame([&] { return "tensor '" + extent.info.name + "'"; },
              [&] {
                if (extent.end_bytes > data_bytes) {
                  Fail(ErrorCode::kInvalidFile, "'data_offsets' end at ", extent.end_bytes, ", past the file's ",
                       data_bytes, " bytes of data");
                }
                if (extent.info.offset_bytes != end) {
                  Fail(ErrorCode::kInvalidFile, "'data_offsets' begin at ", extent.info.offset_bytes,
                       extent.info.offset_bytes < end ? ", inside the tensor before, which ends at "
                                                      : ", leaving a gap after the tensor before, which ends at ",
                       end);
                }
              });
    end = extent.end_bytes;
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
  std::vector<Extent> extents;
  for (const auto& [name, value] : object.items()) {
    if (name == "__metadata__") {
      header.metadata = ParseMetadata(value);
    } else {
      extents.push_back(WithFrame([&, &n = name] { return "tensor '" + n + "'"; },
                                  [&, &n = name, &v = value] { return ParseTensor(n, v); }));
    }
  }
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::tie(a.info.offset_bytes, a.end_bytes) < std::tie(b.info.offset_bytes, b.end_bytes);
  });
  const std::int64_t data_begin = kLengthBytes + static_cast<std::int64_t>(text.size());
  CheckTiling(extents, static_cast<std::int64_t>(file.size()) - data_begin);
  for (Extent& extent : extents) {
    extent.info.offset_bytes += data_begin;
    header.tensors.push_back(std::move(extent.info));
  }
  return header;
}

TensorMap ReadFile(const fs::path& path) {
  const auto read = [&] {
    const std::shared_ptr<const MappedFile> file = MappedFile::Open(path);
    TensorMap tensors;
    for (TensorInfo& info : ParseHeader(file->bytes()).tensors) {
      if (info.offset_bytes % SizeOf(info.dtype) == 0) {
        tensors.emplace(std::move(info.name),
                        Tensor::MapFile(file, info.offset_bytes, info.dtype, std::move(info.shape)));
      } else {
        const auto size_bytes = static_cast<std::size_t>(NumElements(info.shape) * SizeOf(info.dtype));
        const auto bytes = file->bytes().subspan(static_cast<std::size_t>(info.offset_bytes), size_bytes);
        tensors.emplace(std::move(info.name), Tensor::FromBytes(info.dtype, std::move(info.shape), bytes));
      }
    }
    return tensors;
  };
  return WithFrame([&] { return "file '" + path.string() + "'"; }, read);
}

std::optional<TensorMap> FindTensors(const fs::path& directory) {
  return FindCheckpoint(directory, "model.safetensors", ReadFile);
}

}  // namespace laconic::safetensors
