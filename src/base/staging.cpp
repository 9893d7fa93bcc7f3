#include "base/staging.h"

#include <array>
#include <atomic>
#include <climits>
#include <cstdint>
#include <cstring>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace laconic {
namespace {

// A handler may neither allocate nor lock, so that names lie in static memory.
struct Slot {
  std::atomic<bool> is_taken{false};
  std::atomic<bool> is_noted{false};
  std::array<char, PATH_MAX> path;
};
std::array<Slot, 8> slots;

// opendir and readdir allocate; this is what they call. Each entry: inode and offset of 8 bytes each, the entry's size
// of 2, its type of 1, then the name.
void RemoveFilesIn(int directory) noexcept {
  constexpr std::size_t kSizeAt = 16;
  constexpr std::size_t kNameAt = 19;
  alignas(8) std::array<char, 4096> entries;
  for (long got; (got = ::syscall(SYS_getdents64, directory, entries.data(), entries.size())) > 0;) {
    std::uint16_t size = 0;
    for (const char* entry = entries.data(); entry < entries.data() + got; entry += size) {
      std::memcpy(&size, entry + kSizeAt, sizeof(size));
      ::unlinkat(directory, entry + kNameAt, 0);
    }
  }
}

void Remove(const char* path) noexcept {
  const int directory = ::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0) {
    ::unlink(path);
    return;
  }
  RemoveFilesIn(directory);
  ::close(directory);
  ::rmdir(path);
}

}  // namespace

void NoteStaging(const std::filesystem::path& path) noexcept {
  if (path.native().size() >= PATH_MAX) {
    return;
  }
  for (Slot& slot : slots) {
    if (!slot.is_taken.exchange(true)) {
      std::memcpy(slot.path.data(), path.c_str(), path.native().size() + 1);
      slot.is_noted = true;
      return;
    }
  }
}

void ForgetStaging(const std::filesystem::path& path) noexcept {
  for (Slot& slot : slots) {
    if (slot.is_noted && path == slot.path.data()) {
      slot.is_noted = false;
      slot.is_taken = false;
      return;
    }
  }
}

void RemoveStaging() noexcept {
  for (const Slot& slot : slots) {
    if (slot.is_noted) {
      Remove(slot.path.data());
    }
  }
}

}  // namespace laconic
