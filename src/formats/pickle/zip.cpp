#include "formats/pickle/zip.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "laconic/error.h"

namespace laconic::pickle {
namespace {

constexpr std::uint32_t kLocalSignature = 0x04034b50;
constexpr std::uint32_t kCentralSignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kZip64EndSignature = 0x06064b50;
constexpr std::uint32_t kZip64LocatorSignature = 0x07064b50;
constexpr std::int64_t kLocalBytes = 30;
constexpr std::int64_t kCentralBytes = 46;
constexpr std::int64_t kEndBytes = 22;
constexpr std::int64_t kZip64EndBytes = 56;
constexpr std::int64_t kZip64LocatorBytes = 20;
constexpr std::int64_t kMaxCommentBytes = 0xffff;
constexpr std::uint16_t kZip64ExtraId = 1;
constexpr std::uint64_t kIn64 = 0xffffffff;  // a 32-bit field that says: look into the ZIP64 record

// Little-endian fields of `size` bytes, each checked against the archive's end.
class Fields {
 public:
  explicit Fields(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::int64_t size() const { return static_cast<std::int64_t>(bytes_.size()); }

  std::span<const std::byte> Bytes(std::int64_t offset, std::int64_t length) const {
    if (offset < 0 || length < 0 || offset > size() || length > size() - offset) {
      Fail(ErrorCode::kInvalidFile, "the ZIP archive's ", size(), " bytes end inside a record of ", length,
           " bytes at byte ", offset);
    }
    return bytes_.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(length));
  }

  std::uint64_t At(std::int64_t offset, std::int64_t length) const {
    std::uint64_t value = 0;
    const std::span<const std::byte> field = Bytes(offset, length);
    for (std::size_t i = field.size(); i-- > 0;) {
      value = value << 8 | std::to_integer<std::uint64_t>(field[i]);
    }
    return value;
  }

  // A size or offset; a value over 2^63 is past any file's end.
  std::int64_t SizeAt(std::int64_t offset, std::int64_t length) const {
    return static_cast<std::int64_t>(std::min<std::uint64_t>(At(offset, length), INT64_MAX));
  }

  std::string_view TextAt(std::int64_t offset, std::int64_t length) const {
    const std::span<const std::byte> text = Bytes(offset, length);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

 private:
  std::span<const std::byte> bytes_;
};

struct Directory {
  std::int64_t offset_bytes = 0;
  std::int64_t num_entries = 0;
};

// The end record is followed by a comment of any length: searched from the back.
std::int64_t FindEnd(const Fields& archive) {
  const std::int64_t last = archive.size() - kEndBytes;
  for (std::int64_t offset = last; offset >= std::max<std::int64_t>(0, last - kMaxCommentBytes); --offset) {
    if (archive.At(offset, 4) == kEndSignature && archive.SizeAt(offset + 20, 2) == last - offset) {
      return offset;
    }
  }
  Fail(ErrorCode::kInvalidFile, "no end of a ZIP archive in ", archive.size(), " bytes: not one, or cut off");
}

Directory FindDirectory(const Fields& archive) {
  const std::int64_t end = FindEnd(archive);
  const std::int64_t locator = end - kZip64LocatorBytes;
  if (locator >= 0 && archive.At(locator, 4) == kZip64LocatorSignature) {
    const std::int64_t end64 = archive.SizeAt(locator + 8, 8);
    archive.Bytes(end64, kZip64EndBytes);
    if (archive.At(end64, 4) != kZip64EndSignature) {
      Fail(ErrorCode::kInvalidFile, "no ZIP64 end record at byte ", end64);
    }
    return {archive.SizeAt(end64 + 48, 8), archive.SizeAt(end64 + 32, 8)};
  }
  if (archive.At(end + 4, 2) != 0 || archive.At(end + 6, 2) != 0) {
    Fail(ErrorCode::kUnsupported, "the ZIP archive is split over several disks");
  }
  return {archive.SizeAt(end + 16, 4), archive.SizeAt(end + 10, 2)};
}

// The ZIP64 extra field holds, in this order, those of size, compressed size and offset whose 32-bit field is full.
struct Sizes {
  std::int64_t size = 0;
  std::int64_t compressed = 0;
  std::int64_t offset = 0;
};

std::optional<std::int64_t> FindZip64Extra(const Fields& archive, std::int64_t begin, std::int64_t end) {
  for (std::int64_t field = begin; field + 4 <= end; field += 4 + archive.SizeAt(field + 2, 2)) {
    if (archive.At(field, 2) == kZip64ExtraId) {
      return field + 4;
    }
  }
  return std::nullopt;
}

Sizes ReadSizes(const Fields& archive, std::int64_t central, std::int64_t extra, std::int64_t extra_end) {
  Sizes sizes;
  std::optional<std::int64_t> wide = FindZip64Extra(archive, extra, extra_end);
  const auto read = [&](std::int64_t narrow) {
    if (archive.At(narrow, 4) != kIn64 || !wide) {
      return archive.SizeAt(narrow, 4);
    }
    const std::int64_t value = archive.SizeAt(*wide, 8);
    *wide += 8;
    return value;
  };
  sizes.size = read(central + 24);
  sizes.compressed = read(central + 20);
  sizes.offset = read(central + 42);
  return sizes;
}

// The entry that the central record at `central` describes.
ZipEntry ReadEntry(const Fields& archive, std::int64_t central, std::int64_t extra, std::int64_t extra_end) {
  const bool is_encrypted = (archive.At(central + 8, 2) & 1) != 0;
  const Sizes sizes = ReadSizes(archive, central, extra, extra_end);
  if (is_encrypted || archive.At(central + 10, 2) != 0 || sizes.compressed != sizes.size) {
    Fail(ErrorCode::kUnsupported,
         "expected a stored entry, as torch.save writes it, got a compressed or encrypted one");
  }
  if (archive.At(sizes.offset, 4) != kLocalSignature) {
    Fail(ErrorCode::kInvalidFile, "no local record at byte ", sizes.offset);
  }
  // The local name and extra field may be longer than the central ones: torch aligns the data with them.
  const ZipEntry entry{
      sizes.offset + kLocalBytes + archive.SizeAt(sizes.offset + 26, 2) + archive.SizeAt(sizes.offset + 28, 2),
      sizes.size};
  archive.Bytes(entry.offset_bytes, entry.size_bytes);
  return entry;
}

// Entries that share bytes could multiply a small file's size.
void CheckDisjoint(const std::map<std::string, ZipEntry, std::less<>>& entries) {
  std::vector<std::pair<std::int64_t, std::int64_t>> extents;
  extents.reserve(entries.size());
  for (const auto& [name, entry] : entries) {
    extents.emplace_back(entry.offset_bytes, entry.offset_bytes + entry.size_bytes);
  }
  std::sort(extents.begin(), extents.end());
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].first < extents[i - 1].second) {
      Fail(ErrorCode::kInvalidFile, "two entries of the ZIP archive overlap at byte ", extents[i].first);
    }
  }
}

}  // namespace

std::map<std::string, ZipEntry, std::less<>> ParseZip(std::span<const std::byte> archive) {
  const Fields fields(archive);
  const Directory directory = FindDirectory(fields);
  std::map<std::string, ZipEntry, std::less<>> entries;
  std::int64_t central = directory.offset_bytes;
  for (std::int64_t i = 0; i < directory.num_entries; ++i) {
    if (fields.At(central, 4) != kCentralSignature) {
      Fail(ErrorCode::kInvalidFile, "expected the record of entry ", i, " at byte ", central);
    }
    const std::int64_t name_end = central + kCentralBytes + fields.SizeAt(central + 28, 2);
    const std::int64_t extra_end = name_end + fields.SizeAt(central + 30, 2);
    const std::string name(fields.TextAt(central + kCentralBytes, name_end - central - kCentralBytes));
    const ZipEntry entry = WithFrame([&] { return "entry '" + name + "'"; },
                                     [&] { return ReadEntry(fields, central, name_end, extra_end); });
    if (!entries.emplace(name, entry).second) {
      Fail(ErrorCode::kInvalidFile, "two entries of the ZIP archive are named '", name, "'");
    }
    central = extra_end + fields.SizeAt(central + 32, 2);
  }
  CheckDisjoint(entries);
  return entries;
}

}  // namespace laconic::pickle
