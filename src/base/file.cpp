#include "base/file.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <random>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/staging.h"

namespace laconic {
namespace fs = std::filesystem;
namespace {

std::string Quoted(const fs::path& path) { return "'" + path.string() + "'"; }

std::string_view KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// Hidden, so that a listing does not mistake it for output.
std::string StagingPrefix(const fs::path& path) { return fmt::format(".{}.partial-", path.filename().string()); }

// Beside `path`, so that the rename stays on one file system. By chance and not by process, as every container may have
// a process 1.
fs::path StagingPath(const fs::path& path) {
  std::random_device random;
  return path.parent_path() / fmt::format("{}{:08x}{:08x}", StagingPrefix(path), random(), random());
}

// Whether nobody has the file locked; of a fresh one the writer may not have come to it.
bool IsAbandoned(const fs::path& path) {
  constexpr std::time_t kFreshSeconds = 60;
  const FileDescriptor descriptor(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  return descriptor.get() >= 0 && ::fstat(descriptor.get(), &status) == 0 && S_ISREG(status.st_mode) &&
         status.st_mtime < std::time(nullptr) - kFreshSeconds && ::flock(descriptor.get(), LOCK_EX | LOCK_NB) == 0;
}

fs::file_status StatusOf(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::status_known(status)) {
    Fail(ErrorCode::kIo, "cannot read ", Quoted(path), ": ", error.message());
  }
  return status;
}

void CheckMayReplace(const fs::path& path, bool force) {
  if (!force && Exists(path)) {
    Fail(ErrorCode::kInvalidArgument, Quoted(path), " exists; use --force to replace it");
  }
}

// Returns when a pipe takes PIPE_BUF bytes at once: a reader that has stopped must not make us deaf to Ctrl-C, whether
// the signal interrupts this thread, which writes, or another.
void WaitForReader(const FileDescriptor& descriptor) {
  constexpr int kMilliseconds = 100;
  pollfd pipe = {.fd = descriptor.get(), .events = POLLOUT, .revents = 0};
  const auto has_to_wait = [&] {
    const int ready = ::poll(&pipe, 1, kMilliseconds);
    return ready == 0 || (ready < 0 && errno == EINTR);
  };
  while (has_to_wait()) {
    ThrowIfCancelled();
  }
}

void CheckParent(const fs::path& path) {
  const fs::path parent = path.parent_path();
  if (!parent.empty() && !IsDirectory(parent)) {
    Fail(ErrorCode::kNotFound, "cannot write ", Quoted(path), ": no directory ", Quoted(parent));
  }
}

}  // namespace

void FailErrno(std::string_view what, const fs::path& path) {
  const int error = errno;
  ErrorCode code = ErrorCode::kIo;
  if (error == ENOENT || error == ENOTDIR) {
    code = ErrorCode::kNotFound;
  } else if (error == ENOSPC || error == EDQUOT || error == EFBIG || error == ENOMEM || error == EMFILE) {
    code = ErrorCode::kResource;
  }
  Fail(code, what, " ", Quoted(path), ": ", std::generic_category().message(error));
}

bool Exists(const fs::path& path) { return fs::exists(StatusOf(path)); }
bool IsDirectory(const fs::path& path) { return fs::is_directory(StatusOf(path)); }

FileDescriptor::~FileDescriptor() { Close(); }

FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

bool FileDescriptor::Close() noexcept {
  const int fd = std::exchange(fd_, -1);
  return fd < 0 || ::close(fd) == 0;
}

RegularFile OpenRegularFile(const fs::path& path) {
  // O_NONBLOCK: opening a FIFO for reading would otherwise wait for a writer before we can refuse it.
  FileDescriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.get() < 0) {
    FailErrno("cannot open", path);
  }
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) {
    FailErrno("cannot read", path);
  }
  if (!S_ISREG(status.st_mode)) {
    // As of the shell's <(...), which cannot be read twice.
    const char* hint = S_ISFIFO(status.st_mode) ? "; texts are piped into standard input, which is called -" : "";
    Fail(ErrorCode::kInvalidArgument, "expected a regular file, got ", KindOf(status.st_mode), ": ", Quoted(path),
         hint);
  }
  return {std::move(descriptor), status.st_size};
}

std::size_t ReadSome(const FileDescriptor& descriptor, const fs::path& path, std::span<char> out) {
  while (true) {
    const ssize_t got = ::read(descriptor.get(), out.data(), out.size());
    if (got >= 0) {
      return static_cast<std::size_t>(got);
    }
    if (errno != EINTR) {
      FailErrno("cannot read", path);
    }
    ThrowIfCancelled();
  }
}

std::string ReadFile(const fs::path& path, std::int64_t max_bytes) {
  const RegularFile file = OpenRegularFile(path);
  if (file.size_bytes > max_bytes) {
    Fail(ErrorCode::kInvalidFile, Quoted(path), " has ", file.size_bytes, " bytes, expected at most ", max_bytes);
  }
  std::string text(static_cast<std::size_t>(file.size_bytes), '\0');
  std::size_t done = 0;
  while (const std::size_t got = ReadSome(file.descriptor, path, std::span(text).subspan(done))) {
    done += got;
  }
  text.resize(done);
  return text;
}

AtomicFile::AtomicFile(const fs::path& path, bool force) : path_(path), force_(force) {
  if (path_ == "-") {
    path_ = "standard output";
    descriptor_ = FileDescriptor(::dup(STDOUT_FILENO));
    if (descriptor_.get() < 0) {  // closed; poll would wait for it forever
      FailErrno("cannot write", path_);
    }
    return;
  }
  const fs::file_status status = StatusOf(path_);
  if (fs::exists(status)) {
    if (!fs::is_regular_file(status)) {
      Fail(ErrorCode::kInvalidArgument, "cannot write ", Quoted(path_), ": it exists and is not a regular file");
    }
    CheckMayReplace(path_, force);
  }
  CheckParent(path_);
  staging_ = StagingPath(path_);
  NoteStaging(staging_);  // before it is there: a signal may come between
  descriptor_ = FileDescriptor(::open(staging_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (descriptor_.get() < 0) {
    ForgetStaging(staging_);
    staging_.clear();
    FailErrno("cannot write", path_);
  }
  ::flock(descriptor_.get(), LOCK_EX | LOCK_NB);  // for RemoveAbandoned; where there are no locks, nothing is removed
}

AtomicFile::~AtomicFile() {
  if (!staging_.empty()) {
    descriptor_.Close();
    std::error_code ignored;
    fs::remove(staging_, ignored);
    ForgetStaging(staging_);
  }
}

void AtomicFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const bool is_stream = staging_.empty();
    if (is_stream) {
      WaitForReader(descriptor_);
    }
    const std::size_t most = is_stream ? PIPE_BUF : bytes.size();
    const ssize_t put = ::write(descriptor_.get(), bytes.data(), std::min(bytes.size(), most));
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put < 0) {
      FailErrno("cannot write", path_);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    size_bytes_ += put;
  }
}

void AtomicFile::Write(std::string_view text) { Write(std::as_bytes(std::span(text.data(), text.size()))); }

void AtomicFile::Commit() {
  if (!descriptor_.Close()) {
    FailErrno("cannot write", path_);
  }
  if (staging_.empty()) {
    return;
  }
  CheckMayReplace(path_, force_);  // another process may have been faster
  if (::rename(staging_.c_str(), path_.c_str()) != 0) {
    FailErrno("cannot write", path_);
  }
  ForgetStaging(staging_);
  staging_.clear();
}

void RemoveAbandoned(const fs::path& path) noexcept {
  try {
    const fs::path directory = path.has_parent_path() ? path.parent_path() : fs::path(".");
    for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
      if (entry.path().filename().string().starts_with(StagingPrefix(path)) && IsAbandoned(entry.path())) {
        std::error_code ignored;
        fs::remove(entry.path(), ignored);
      }
    }
  } catch (const std::exception&) {  // a directory that cannot be read
  }
}

AtomicDirectory::AtomicDirectory(const fs::path& path, bool force)
    : path_(path.has_filename() ? path : path.parent_path()), force_(force) {  // "a/" is "a", though not to fs::path
  const fs::file_status status = StatusOf(path_);
  if (fs::exists(status)) {
    if (!fs::is_directory(status)) {
      Fail(ErrorCode::kInvalidArgument, "cannot write directory ", Quoted(path_), ": a file of that name exists");
    }
    CheckMayReplace(path_, force);
  }
  CheckParent(path_);
  const fs::path staging = StagingPath(path_);
  NoteStaging(staging);
  if (::mkdir(staging.c_str(), 0777) != 0) {
    ForgetStaging(staging);
    FailErrno("cannot make directory", staging);
  }
  staging_ = staging;
}

AtomicDirectory::~AtomicDirectory() {
  if (!staging_.empty()) {
    std::error_code ignored;
    fs::remove_all(staging_, ignored);
    ForgetStaging(staging_);
  }
}

void AtomicDirectory::Commit() {
  CheckMayReplace(path_, force_);  // another process may have been faster
  fs::path old;
  ForgetStaging(staging_);  // while the old one is out of the way, the new one must not be removed
  if (Exists(path_)) {
    old = staging_.string() + "-old";
    if (::rename(path_.c_str(), old.c_str()) != 0) {
      FailErrno("cannot replace", path_);
    }
  }
  if (::rename(staging_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    if (!old.empty()) {
      std::error_code ignored;
      fs::rename(old, path_, ignored);
    }
    errno = error;
    FailErrno("cannot write directory", path_);
  }
  staging_.clear();
  if (!old.empty()) {
    std::error_code ignored;
    fs::remove_all(old, ignored);
  }
}

}  // namespace laconic
