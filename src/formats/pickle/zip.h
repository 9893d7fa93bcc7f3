// The directory of a ZIP archive whose entries are stored, not compressed, as torch.save writes them.
// Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 (records) and 4.5.3 (ZIP64).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace laconic::pickle {

struct ZipEntry {
  std::int64_t offset_bytes = 0;  // of the data, from the start of the archive
  std::int64_t size_bytes = 0;
};

// Every entry by name; all lie inside the archive and none overlap. Checksums are not computed: that would read the
// whole file. Errors: kInvalidFile; kUnsupported for a compressed, encrypted or split archive.
std::map<std::string, ZipEntry, std::less<>> ParseZip(std::span<const std::byte> archive);

}  // namespace laconic::pickle
