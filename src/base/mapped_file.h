// A regular file, mapped read-only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace laconic {

// Shared ownership keeps every view into the file alive. The file must not be truncated while it is mapped.
class MappedFile {
 public:
  // Errors: kNotFound; kInvalidArgument for anything but a regular file (a FIFO or device would hang or never end);
  // kIo.
  static std::shared_ptr<const MappedFile> Open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  // Whole seconds since 1970 at which it had been modified when it was opened: archives and images keep no more.
  std::int64_t modified_s() const noexcept { return modified_s_; }

  // Drops the whole pages inside [offset, offset + length) from this process's resident set; they are read again from
  // the file when next touched. So that a weight that has been packed is not held twice.
  void ReleasePages(std::size_t offset, std::size_t length) const noexcept;

 private:
  MappedFile(const std::byte* data, std::size_t size, std::int64_t modified_s) noexcept
      : data_(data), size_(size), modified_s_(modified_s) {}
  const std::byte* data_;
  std::size_t size_;
  std::int64_t modified_s_;
};

}  // namespace laconic
