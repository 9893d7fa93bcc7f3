// The special tokens around one text or two: Hugging Face's post-processors as far as they change ids.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "laconic/tokenizer.h"

namespace laconic::text {

struct TemplatePiece {
  int sequence = -1;  // 0, 1: the first, the second text; -1: the special tokens `ids`
  std::vector<std::int32_t> ids;
  std::int32_t type_id = 0;
};
using Template = std::vector<TemplatePiece>;

struct PostProcessor {
  Template single;
  Template pair;
};

// The number of special tokens.
std::int64_t NumAdded(const Template& pieces);
// The two texts' ids, put together.
Encoding Assemble(const Template& pieces, std::span<const std::int32_t> first, std::span<const std::int32_t> second);

PostProcessor MakeBertPostProcessor(std::int32_t cls_id, std::int32_t sep_id);
PostProcessor MakeRobertaPostProcessor(std::int32_t cls_id, std::int32_t sep_id);

// From a tokenizer.json's "post_processor"; null adds nothing. Errors: kInvalidFile; kUnsupported for what would not be
// reproduced exactly, and for a template that repeats or omits a text.
PostProcessor MakePostProcessor(const nlohmann::json& json);

// The largest id that either template can add, or -1.
std::int32_t LargestId(const PostProcessor& processor);

}  // namespace laconic::text
