// JSON read from files that may be hostile. Include <nlohmann/json.hpp> where a value is looked into.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace laconic {

// No file of ours or of Hugging Face nests deeper; a value at this depth is safe to copy, print and destroy.
inline constexpr int kMaxJsonDepth = 128;

// What a text holds as far as it is JSON, found without memory: how deep it nests, and the members that its outermost
// object lists. Of those, a parsed object keeps only the last of any that share a key.
struct JsonOutline {
  int depth = 0;
  std::size_t num_members = 0;
};
JsonOutline ScanJson(std::string_view text) noexcept;

// Parses one JSON value (UTF-8, no trailing text; a leading byte order mark is skipped).
// Errors: kInvalidFile with line and column, for malformed text, invalid UTF-8 and nesting deeper than kMaxJsonDepth.
nlohmann::json ParseJson(std::string_view text);

// An error of nlohmann's parser as we word it: "malformed JSON at line 3, column 4: ...", without a first line's
// number, since the text may be one line of a file that the frames tell.
std::string DescribeJsonError(std::string_view what);

// ReadFile + ParseJson, with "in file 'path'" added to errors.
nlohmann::json ReadJsonFile(const std::filesystem::path& path, std::int64_t max_bytes = std::int64_t{256} << 20);

// `object[key]` of the wanted C++ type (bool, std::int64_t, double, std::string, ...); `fallback` where the key is
// absent or null. Errors: kInvalidFile naming the key, the type expected and the type met.
template <typename T>
T JsonValueOr(const nlohmann::json& object, std::string_view key, T fallback);

}  // namespace laconic
