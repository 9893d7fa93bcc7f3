#include "tensor/tensor_map.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "laconic/error.h"

namespace laconic {
namespace {

namespace fs = std::filesystem;
using ReadTensors = std::function<TensorMap(const fs::path&)>;
using TensorNamesByShard = std::map<std::string, std::vector<std::string>>;

TensorNamesByShard ParseWeightMap(const nlohmann::json& index) {
  const auto weight_map = index.is_object() ? index.find("weight_map") : index.end();
  if (weight_map == index.end() || !weight_map->is_object()) {
    Fail(ErrorCode::kInvalidFile, "expected an object 'weight_map'");
  }
  TensorNamesByShard names;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string()) {
      Fail(ErrorCode::kInvalidFile, "expected the name of a file for tensor '", tensor, "', got ", shard.type_name());
    }
    const std::string name = shard;
    // A downloaded index must not reach outside its own directory.
    if (name.empty() || name == "." || name == ".." || name.find_first_of(std::string_view("/\0", 2)) != name.npos) {
      Fail(ErrorCode::kInvalidFile, "expected a plain file name for tensor '", tensor, "', got '", name, "'");
    }
    names[name].push_back(tensor);
  }
  return names;
}

// Moves the tensors called `names` from one shard's to `tensors`.
void TakeTensors(const std::string& shard, const std::vector<std::string>& names, TensorMap found, TensorMap* tensors) {
  for (const std::string& name : names) {
    auto node = found.extract(name);
    if (node.empty()) {
      Fail(ErrorCode::kInvalidFile, "tensor '", name, "' is not in '", shard, "'");
    }
    tensors->insert(std::move(node));
  }
}

Checkpoint ReadShards(const fs::path& index, const ReadTensors& read) {
  const nlohmann::json json = ReadJsonFile(index);
  const auto read_all = [&] {
    Checkpoint checkpoint{{}, {index}};
    for (const auto& [shard, names] : ParseWeightMap(json)) {
      checkpoint.files.push_back(index.parent_path() / shard);
      TakeTensors(shard, names, read(checkpoint.files.back()), &checkpoint.tensors);
    }
    return checkpoint;
  };
  return WithFrame([&] { return "file '" + index.string() + "'"; }, read_all);
}

// A dangling link, as an interrupted download leaves in a cache, is there: reading it says what is missing.
bool IsThere(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

}  // namespace

Tensor MapTensor(const std::shared_ptr<const MappedFile>& file, std::int64_t offset, DType dtype, Shape shape) {
  if (offset % SizeOf(dtype) == 0) {
    return Tensor::MapFile(file, offset, dtype, std::move(shape));
  }
  std::int64_t size_bytes = 0;
  if (__builtin_mul_overflow(NumElements(shape), SizeOf(dtype), &size_bytes)) {
    Fail(ErrorCode::kInvalidFile, "too many elements in shape ", ToString(shape));
  }
  const Tensor bytes = Tensor::MapFile(file, offset, DType::kU8, {size_bytes});
  return Tensor::FromBytes(dtype, std::move(shape), std::as_bytes(bytes.values<std::uint8_t>()));
}

std::optional<Checkpoint> FindCheckpoint(const fs::path& directory, const std::string& name, const ReadTensors& read) {
  if (const fs::path single = directory / name; IsThere(single)) {
    return Checkpoint{read(single), {single}};
  }
  if (const fs::path index = directory / (name + ".index.json"); IsThere(index)) {
    return ReadShards(index, read);
  }
  return std::nullopt;
}

}  // namespace laconic
