// Reading whole files, and writing files and directories so that nothing half-written is ever seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "laconic/error.h"

namespace laconic {

// Throws kNotFound, kIo or kResource as `errno` says: "<what> 'path': <reason>".
[[noreturn]] void FailErrno(std::string_view what, const std::filesystem::path& path);

// Whether there is anything at `path`, or a directory; links are followed. Errors: kIo where the system does not say: a
// loop of links, a name too long, no permission.
bool Exists(const std::filesystem::path& path);
bool IsDirectory(const std::filesystem::path& path);

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) noexcept : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept;
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  int get() const noexcept { return fd_; }
  // Closes now. Returns false when the system reports a failed write.
  bool Close() noexcept;

 private:
  int fd_;
};

struct RegularFile {
  FileDescriptor descriptor;
  std::int64_t size_bytes = 0;
};

// Opens for reading without ever blocking. Errors: kNotFound, kIo; kInvalidArgument for a directory, FIFO or device.
RegularFile OpenRegularFile(const std::filesystem::path& path);

// Reads up to `out.size()` bytes of what `path` names; 0 at the end. Errors: kIo; kCancelled.
std::size_t ReadSome(const FileDescriptor& descriptor, const std::filesystem::path& path, std::span<char> out);

// The file's bytes. Errors: as above; kInvalidFile if it is longer than `max_bytes`.
std::string ReadFile(const std::filesystem::path& path, std::int64_t max_bytes);

// A file written beside its final place and renamed onto it by Commit(). Without Commit() nothing is left behind.
// Errors: kInvalidArgument if `path` exists and `force` is not set, or is not a regular file; kIo, kResource (disk
// full). `path` "-" is standard output.
class AtomicFile {
 public:
  AtomicFile(const std::filesystem::path& path, bool force);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Write(std::span<const std::byte> bytes);
  void Write(std::string_view text);
  std::int64_t size_bytes() const noexcept { return size_bytes_; }
  void Commit();

 private:
  std::filesystem::path path_;
  bool force_ = false;
  std::filesystem::path staging_;
  FileDescriptor descriptor_;
  std::int64_t size_bytes_ = 0;
};

// Removes what writers of `path` that were killed left beside it: a service that is killed and started again and again
// would fill the disk. Those that live hold a lock. Never fails: what cannot be removed stays.
void RemoveAbandoned(const std::filesystem::path& path) noexcept;

// The same for a directory: fill `staging()`, then Commit(). With `force`, an existing directory is replaced whole.
class AtomicDirectory {
 public:
  AtomicDirectory(const std::filesystem::path& path, bool force);
  ~AtomicDirectory();
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;

  const std::filesystem::path& staging() const noexcept { return staging_; }
  void Commit();

 private:
  std::filesystem::path path_;
  bool force_ = false;
  std::filesystem::path staging_;
};

}  // namespace laconic
