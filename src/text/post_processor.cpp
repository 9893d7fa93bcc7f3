#include "text/post_processor.h"

#include <algorithm>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "laconic/error.h"
#include "text/json_options.h"

namespace laconic::text {
namespace {

TemplatePiece Text(int sequence, std::int32_t type_id) { return {sequence, {}, type_id}; }
TemplatePiece Special(std::int32_t id, std::int32_t type_id) { return {-1, {id}, type_id}; }

PostProcessor Plain() { return {{Text(0, 0)}, {Text(0, 0), Text(1, 1)}}; }

// ["[SEP]", 102]
std::int32_t ParseTokenAndId(const nlohmann::json& json, std::string_view key) {
  const nlohmann::json& pair = RequiredArray(json, key);
  if (pair.size() != 2 || !pair[0].is_string()) {
    Fail(ErrorCode::kInvalidFile, "'", key, "': expected a token and its id");
  }
  return RequiredId({{"id", pair[1]}}, "id");
}

std::vector<std::int32_t> ParseSpecialIds(const nlohmann::json& special_tokens, const std::string& name) {
  std::vector<std::int32_t> ids;
  for (const nlohmann::json& id : RequiredArray(Required(special_tokens, name), "ids")) {
    ids.push_back(RequiredId({{"id", id}}, "id"));
  }
  return ids;
}

Template ParseTemplate(const nlohmann::json& json, std::string_view key, std::size_t num_texts) {
  Template pieces;
  std::vector<int> texts;
  for (const nlohmann::json& item : RequiredArray(json, key)) {
    TemplatePiece piece;
    const bool is_special = item.is_object() && item.contains("SpecialToken");
    const nlohmann::json& content = Required(item, is_special ? "SpecialToken" : "Sequence");
    const std::string id = RequiredString(content, "id");
    piece.type_id = RequiredId(content, "type_id");
    if (is_special) {
      piece.ids = ParseSpecialIds(Required(json, "special_tokens"), id);
    } else if (id == "A" || id == "B") {
      piece.sequence = id == "A" ? 0 : 1;
      texts.push_back(piece.sequence);
    } else {
      Fail(ErrorCode::kInvalidFile, "'", key, "': expected sequence A or B, got '", id, "'");
    }
    pieces.push_back(std::move(piece));
  }
  std::ranges::sort(texts);
  const std::vector<int> expected = num_texts == 1 ? std::vector{0} : std::vector{0, 1};
  if (texts != expected) {
    Fail(ErrorCode::kUnsupported, "'", key, "': a template that does not use each text once");
  }
  return pieces;
}

// Only offsets change there.
bool KeepsIds(const std::string& type) { return type == "ByteLevel"; }

PostProcessor ParseSequence(const nlohmann::json& json) {
  CheckKeys(json, {"processors"});
  std::optional<PostProcessor> only;
  for (const nlohmann::json& step : RequiredArray(json, "processors")) {
    if (KeepsIds(TypeOf(step))) {
      continue;
    }
    if (only.has_value()) {
      FailUnsupported("a sequence of post-processors with another", TypeOf(step));
    }
    only = MakePostProcessor(step);
  }
  return only.value_or(Plain());
}

}  // namespace

std::int64_t NumAdded(const Template& pieces) {
  std::int64_t count = 0;
  for (const TemplatePiece& piece : pieces) {
    count += static_cast<std::int64_t>(piece.ids.size());
  }
  return count;
}

Encoding Assemble(const Template& pieces, std::span<const std::int32_t> first, std::span<const std::int32_t> second) {
  Encoding encoding;
  const std::size_t size = first.size() + second.size() + static_cast<std::size_t>(NumAdded(pieces));
  encoding.ids.reserve(size);
  encoding.type_ids.reserve(size);
  for (const TemplatePiece& piece : pieces) {
    const std::span<const std::int32_t> ids = piece.sequence < 0 ? piece.ids : piece.sequence == 0 ? first : second;
    encoding.ids.insert(encoding.ids.end(), ids.begin(), ids.end());
    encoding.type_ids.insert(encoding.type_ids.end(), ids.size(), piece.type_id);
  }
  return encoding;
}

PostProcessor MakeBertPostProcessor(std::int32_t cls_id, std::int32_t sep_id) {
  return {{Special(cls_id, 0), Text(0, 0), Special(sep_id, 0)},
          {Special(cls_id, 0), Text(0, 0), Special(sep_id, 0), Text(1, 1), Special(sep_id, 1)}};
}

PostProcessor MakeRobertaPostProcessor(std::int32_t cls_id, std::int32_t sep_id) {
  return {{Special(cls_id, 0), Text(0, 0), Special(sep_id, 0)},
          {Special(cls_id, 0), Text(0, 0), Special(sep_id, 0), Special(sep_id, 0), Text(1, 0), Special(sep_id, 0)}};
}

PostProcessor MakePostProcessor(const nlohmann::json& json) {
  if (json.is_null()) {
    return Plain();
  }
  const std::string type = TypeOf(json);
  if (KeepsIds(type)) {
    return Plain();
  }
  if (type == "Sequence") {
    return ParseSequence(json);
  }
  if (type == "TemplateProcessing") {
    CheckKeys(json, {"single", "pair", "special_tokens"});
    return {ParseTemplate(json, "single", 1), ParseTemplate(json, "pair", 2)};
  }
  if (type == "BertProcessing") {
    CheckKeys(json, {"sep", "cls"});
    return MakeBertPostProcessor(ParseTokenAndId(json, "cls"), ParseTokenAndId(json, "sep"));
  }
  if (type == "RobertaProcessing") {
    CheckKeys(json, {"sep", "cls", "trim_offsets", "add_prefix_space"});
    return MakeRobertaPostProcessor(ParseTokenAndId(json, "cls"), ParseTokenAndId(json, "sep"));
  }
  FailUnsupported("post-processor", type);
}

std::int32_t LargestId(const PostProcessor& processor) {
  std::int32_t largest = -1;
  for (const Template* pieces : {&processor.single, &processor.pair}) {
    for (const TemplatePiece& piece : *pieces) {
      for (const std::int32_t id : piece.ids) {
        largest = std::max(largest, id);
      }
    }
  }
  return largest;
}

}  // namespace laconic::text
