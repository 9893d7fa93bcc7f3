// Names of the values that enter and leave every model.
#pragma once

#include <string_view>

namespace laconic {

// Inputs, s64 or s32 [batch, sequence].
inline constexpr std::string_view kInputIds = "input_ids";
inline constexpr std::string_view kAttentionMask = "attention_mask";
inline constexpr std::string_view kTokenTypeIds = "token_type_ids";

constexpr bool IsTokenInput(std::string_view name) {
  return name == kInputIds || name == kAttentionMask || name == kTokenTypeIds;
}

inline constexpr std::string_view kLogits = "logits";      // [batch, labels]: a classifier
inline constexpr std::string_view kFeatures = "features";  // [batch, hidden]: an encoder without a head

}  // namespace laconic
