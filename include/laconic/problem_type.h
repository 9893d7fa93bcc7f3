// What a classifier decides about a text.
#pragma once

#include <cstdint>

namespace laconic {

enum class ProblemType : std::uint8_t {
  kSingleLabel,  // exactly one label: the largest logit, softmax
  kMultiLabel,   // any number of labels: each whose logit is above 0, a sigmoid each
};

}  // namespace laconic
