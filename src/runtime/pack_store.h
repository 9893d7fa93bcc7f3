// Packed weights by what they were packed from: made once, kept in a file for the next start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/aligned_bytes.h"
#include "base/mapped_file.h"

namespace laconic::runtime {

// A pack cache is called this and its level.
inline constexpr std::string_view kPackCachePrefix = "packed.";

// Read-only bytes, aligned to a cache line, on the heap or in a mapped file.
struct PackedBytes {
  std::shared_ptr<const void> owner;
  const std::byte* data = nullptr;
  std::int64_t size_bytes = 0;
};

// The file: a line that names the format; the SHA-256 of the index; the index, a JSON object of each key's place,
// size and checksum; then the weights, each at a multiple of 4096. A file that is cut short, altered or of another
// format is not used and is written anew; so are weights whose key is not in it.
class PackStore {
 public:
  PackStore() = default;  // without a file
  // Errors: kIo where `file` is there and cannot be read; kInvalidArgument for a directory or FIFO.
  explicit PackStore(std::filesystem::path file);

  // The bytes of `key`, from this model or the file; else `size_bytes` new ones that `fill` writes. An empty key is
  // never found. `is_new`: these bytes had not been asked for before.
  PackedBytes FindOrMake(const std::string& key, std::int64_t size_bytes, const std::function<void(std::byte*)>& fill,
                         bool* is_new);

  // Whether something had to be made that the file could have held.
  bool is_stale() const noexcept { return is_stale_; }
  // Writes the file if it is stale: beside its place, then renamed. Errors: kIo; kResource.
  void Save() const;

 private:
  struct Place {
    std::int64_t offset = 0;
    std::int64_t size_bytes = 0;
    std::uint64_t checksum = 0;
  };
  void ReadIndex();
  PackedBytes FindInFile(const std::string& key, std::int64_t size_bytes) const;
  PackedBytes Make(std::int64_t size_bytes, const std::function<void(std::byte*)>& fill);

  std::filesystem::path file_;
  std::shared_ptr<const MappedFile> mapped_;
  std::map<std::string, Place> index_;       // of mapped_
  std::map<std::string, PackedBytes> used_;  // by this model
  bool is_stale_ = false;
  std::shared_ptr<const AlignedBytes> block_;  // where weights are made, one after another
  std::int64_t block_used_bytes_ = 0;
};

}  // namespace laconic::runtime
