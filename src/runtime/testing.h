// Texts for the tests of this folder and of src/workflows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "laconic/tokenizer.h"

namespace laconic {

// `count` texts of 1 to `most_tokens` tokens with ids below `num_ids`; the same for the same seed.
inline std::vector<Encoding> RandomTexts(int count, std::uint64_t most_tokens, std::int64_t num_ids,
                                         std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Encoding> texts(static_cast<std::size_t>(count));
  for (Encoding& text : texts) {
    text.ids.resize(1 + random() % most_tokens);
    for (std::int32_t& id : text.ids) {
      id = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(num_ids));
    }
  }
  return texts;
}

}  // namespace laconic
