#include "formats/pickle/pickle.h"

#include <string_view>

#include "base/mapped_file.h"
#include "formats/pickle/state_dict.h"
#include "formats/pickle/zip.h"
#include "laconic/error.h"

namespace laconic::pickle {
namespace {

namespace fs = std::filesystem;
using ZipEntries = std::map<std::string, ZipEntry, std::less<>>;

std::span<const std::byte> BytesOf(const MappedFile& file, const ZipEntry& entry) {
  return file.bytes().subspan(static_cast<std::size_t>(entry.offset_bytes), static_cast<std::size_t>(entry.size_bytes));
}

// Before 1.6, torch.save wrote a bare pickle, which begins with the opcode PROTO.
void CheckIsArchive(std::span<const std::byte> bytes) {
  if (!bytes.empty() && bytes[0] == std::byte{0x80}) {
    Fail(ErrorCode::kUnsupported,
         "this is PyTorch's format before 1.6, which is not read; convert it with: python -c \"import torch; "
         "torch.save(torch.load('OLD.bin', weights_only=True), 'pytorch_model.bin')\"");
  }
}

// The archive's one folder, whose name torch takes from the file's; with its slash.
std::string FindFolder(const ZipEntries& entries) {
  constexpr std::string_view kPickle = "/data.pkl";
  for (const auto& [name, entry] : entries) {
    if (name.ends_with(kPickle) && name.find('/') == name.size() - kPickle.size()) {
      return name.substr(0, name.size() - kPickle.size() + 1);
    }
  }
  Fail(ErrorCode::kInvalidFile, "no '*/data.pkl' in the ZIP archive: not written by torch.save");
}

void CheckByteOrder(const MappedFile& file, const ZipEntries& entries, const std::string& folder) {
  const auto found = entries.find(folder + "byteorder");
  if (found == entries.end()) {
    return;  // before torch 2.1, which then wrote little-endian machines' order
  }
  const std::span<const std::byte> bytes = BytesOf(file, found->second);
  const std::string_view order(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (order != "little") {
    Fail(ErrorCode::kUnsupported, "expected byte order 'little', got '", order.substr(0, 16), "'");
  }
}

Tensor MapStorage(const std::shared_ptr<const MappedFile>& file, const ZipEntry& entry, DType dtype,
                  std::int64_t num_elements) {
  if (entry.size_bytes % SizeOf(dtype) != 0 || entry.size_bytes / SizeOf(dtype) != num_elements) {
    Fail(ErrorCode::kInvalidFile, "expected ", num_elements, " elements of ", SizeOf(dtype), " bytes, got ",
         entry.size_bytes, " bytes");
  }
  return MapTensor(file, entry.offset_bytes, dtype, {num_elements});
}

TensorMap ReadArchive(const std::shared_ptr<const MappedFile>& file) {
  CheckIsArchive(file->bytes());
  const ZipEntries entries = ParseZip(file->bytes());
  const std::string folder = FindFolder(entries);
  CheckByteOrder(*file, entries, folder);
  const auto load = [&](std::string_view key, DType dtype, std::int64_t num_elements) {
    const std::string name = folder + "data/" + std::string(key);
    const auto found = entries.find(name);
    if (found == entries.end()) {
      Fail(ErrorCode::kInvalidFile, "no storage '", name, "' in the ZIP archive");
    }
    return WithFrame([&] { return "storage '" + name + "'"; },
                     [&] { return MapStorage(file, found->second, dtype, num_elements); });
  };
  return ParseStateDict(BytesOf(*file, entries.find(folder + "data.pkl")->second), load);
}

}  // namespace

TensorMap ReadFile(const fs::path& path) {
  return WithFrame([&] { return "file '" + path.string() + "'"; }, [&] { return ReadArchive(MappedFile::Open(path)); });
}

std::optional<Checkpoint> FindCheckpoint(const fs::path& directory) {
  return laconic::FindCheckpoint(directory, "pytorch_model.bin", ReadFile);
}

}  // namespace laconic::pickle
