// Reading the typed objects of tokenizer.json, of which nothing may be overlooked.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace laconic::text {

// The object's "type". Errors: kInvalidFile.
std::string TypeOf(const nlohmann::json& object);

// Errors: kUnsupported naming a key that is not among `known` ("type" always is): a newer library's option would change
// what the object does.
void CheckKeys(const nlohmann::json& object, std::initializer_list<std::string_view> known);

// `object[key]`. Errors: kInvalidFile if it is missing.
const nlohmann::json& Required(const nlohmann::json& object, std::string_view key);
bool RequiredBool(const nlohmann::json& object, std::string_view key);
std::string RequiredString(const nlohmann::json& object, std::string_view key);
// Errors: also kInvalidFile outside [0, 2^31 - 2].
std::int32_t RequiredId(const nlohmann::json& object, std::string_view key);
const nlohmann::json& RequiredArray(const nlohmann::json& object, std::string_view key);

[[noreturn]] void FailUnsupported(std::string_view what, std::string_view name);

}  // namespace laconic::text
