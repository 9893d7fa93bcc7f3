// ZIP archives made byte by byte, for the tests of this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace laconic::pickle {

inline std::string LittleEndian(std::uint64_t value, int num_bytes) {
  std::string bytes;
  for (int i = 0; i < num_bytes; ++i) {
    bytes += static_cast<char>(value >> (8 * i));
  }
  return bytes;
}

inline std::string Join(std::initializer_list<std::string> parts) {
  std::string joined;
  for (const std::string& part : parts) {
    joined += part;
  }
  return joined;
}

using ZipContent = std::vector<std::pair<std::string, std::string>>;  // names and bytes

// Stored entries. With `zip64`, every size and offset is said in ZIP64 records only.
inline std::string MakeZip(const ZipContent& content, bool zip64 = false) {
  const auto narrow = [&](std::uint64_t value) { return LittleEndian(zip64 ? 0xffffffff : value, 4); };
  std::string archive;
  std::string central;
  for (const auto& [name, bytes] : content) {
    const std::string offset = narrow(archive.size());
    const std::string size = LittleEndian(bytes.size(), 8);
    const std::string name_size = LittleEndian(name.size(), 2);
    // Another extra field comes before that of ZIP64.
    const std::string extra = zip64 ? Join({"FB", LittleEndian(3, 2), "...", LittleEndian(1, 2), LittleEndian(24, 2),
                                            size, size, LittleEndian(archive.size(), 8)})
                                    : "";
    // The local extra field, here of 5 bytes, need not equal the central one.
    archive += Join({"PK\3\4", std::string(14, '\0'), size.substr(0, 4), size.substr(0, 4), name_size,
                     LittleEndian(5, 2), name, std::string(5, '\0'), bytes});
    central += Join({"PK\1\2", std::string(16, '\0'), narrow(bytes.size()), narrow(bytes.size()), name_size,
                     LittleEndian(extra.size(), 2), std::string(10, '\0'), offset, name, extra});
  }
  const std::uint64_t directory = archive.size();
  archive += central;
  if (zip64) {
    const std::string count = LittleEndian(content.size(), 8);
    const std::string end = LittleEndian(archive.size(), 8);
    archive += Join({"PK\6\6", LittleEndian(44, 8), std::string(12, '\0'), count, count,
                     LittleEndian(central.size(), 8), LittleEndian(directory, 8)});
    archive += Join({"PK\6\7", LittleEndian(0, 4), end, LittleEndian(1, 4)});
  }
  const std::string count = LittleEndian(zip64 ? 0xffff : content.size(), 2);
  return Join({archive, "PK\5\6", LittleEndian(0, 4), count, count, narrow(central.size()), narrow(directory),
               LittleEndian(0, 2)});
}

}  // namespace laconic::pickle
