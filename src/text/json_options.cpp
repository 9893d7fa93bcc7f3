#include "text/json_options.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "laconic/error.h"

namespace laconic::text {
namespace {

[[noreturn]] void FailType(std::string_view key, std::string_view expected, const nlohmann::json& got) {
  Fail(ErrorCode::kInvalidFile, "'", key, "': expected ", expected, ", got ", got.type_name());
}

}  // namespace

std::string TypeOf(const nlohmann::json& object) { return RequiredString(object, "type"); }

void CheckKeys(const nlohmann::json& object, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (key != "type" && std::ranges::find(known, key) == known.end()) {
      FailUnsupported("option", key);
    }
  }
}

const nlohmann::json& Required(const nlohmann::json& object, std::string_view key) {
  if (!object.is_object()) {
    Fail(ErrorCode::kInvalidFile, "expected a JSON object with '", key, "', got ", object.type_name());
  }
  const auto found = object.find(key);
  if (found == object.end()) {
    Fail(ErrorCode::kInvalidFile, "'", key, "' is missing");
  }
  return *found;
}

bool RequiredBool(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json& value = Required(object, key);
  if (!value.is_boolean()) {
    FailType(key, "a boolean", value);
  }
  return value.get<bool>();
}

std::string RequiredString(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json& value = Required(object, key);
  if (!value.is_string()) {
    FailType(key, "a string", value);
  }
  return value.get<std::string>();
}

std::int32_t RequiredId(const nlohmann::json& object, std::string_view key) {
  constexpr std::int64_t kMaxId = 0x7FFFFFFE;
  const nlohmann::json& value = Required(object, key);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMaxId) {
    FailType(key, "an integer in [0, 2^31 - 2]", value);
  }
  return static_cast<std::int32_t>(value.get<std::uint64_t>());
}

const nlohmann::json& RequiredArray(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json& value = Required(object, key);
  if (!value.is_array()) {
    FailType(key, "an array", value);
  }
  return value;
}

void FailUnsupported(std::string_view what, std::string_view name) {
  Fail(ErrorCode::kUnsupported, what, " '", name, "' would not be reproduced exactly");
}

}  // namespace laconic::text
