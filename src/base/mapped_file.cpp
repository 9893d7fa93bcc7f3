#include "base/mapped_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "laconic/error.h"

namespace laconic {

std::shared_ptr<const MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const RegularFile file = OpenRegularFile(path);
  const auto size = static_cast<std::size_t>(file.size_bytes);
  struct stat status {};
  if (::fstat(file.descriptor.get(), &status) != 0) {
    FailErrno("cannot read", path);
  }
  const std::int64_t modified_s = status.st_mtim.tv_sec;
  if (size == 0) {
    return std::shared_ptr<const MappedFile>(new MappedFile(nullptr, 0, modified_s));
  }
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor.get(), 0);
  if (data == MAP_FAILED) {
    FailErrno("cannot map", path);
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(static_cast<const std::byte*>(data), size, modified_s));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) {
    ::munmap(const_cast<std::byte*>(data_), size_);
  }
}

void MappedFile::ReleasePages(std::size_t offset, std::size_t length) const noexcept {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t begin = (offset + page - 1) / page * page;
  const std::size_t end = (offset + length) / page * page;
  if (begin < end && end <= (size_ + page - 1) / page * page) {
    ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
  }
}

}  // namespace laconic
