// What the fuzzers of data sets share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "data/record_reader.h"

namespace laconic::data {

// Hands out `text` in pieces of a few bytes, so that every look-ahead meets the end of a piece.
inline ByteReader FromMemory(std::string text) {
  return ByteReader([text = std::move(text), at = std::size_t{0}](std::span<char> out) mutable {
    constexpr std::size_t kPieceBytes = 5;
    const std::size_t size = std::min({kPieceBytes, out.size(), text.size() - at});
    std::copy_n(text.data() + at, size, out.data());
    at += size;
    return size;
  });
}

inline std::vector<nlohmann::json> ReadAll(RecordReader* reader) {
  std::vector<nlohmann::json> records;
  while (auto record = reader->Next()) {
    records.push_back(std::move(*record));
  }
  return records;
}

}  // namespace laconic::data
