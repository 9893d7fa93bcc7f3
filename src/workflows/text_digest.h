// Which texts were seen, in 64 characters.
#pragma once

#include <span>
#include <string>

#include "base/sha256.h"
#include "laconic/dataset.h"

namespace laconic {

// A SHA-256 over texts, one after the other.
class TextDigest {
 public:
  void Add(const DatasetRow& row) {
    // Lengths first, so that no two sequences of texts read alike.
    const std::string all = digest_ + std::to_string(row.text.size()) + (row.second_text ? "+" : " ") + row.text +
                            row.second_text.value_or("");
    digest_ = Sha256Hex(std::as_bytes(std::span(all)));
  }
  const std::string& value() const noexcept { return digest_; }

 private:
  std::string digest_;
};

}  // namespace laconic
