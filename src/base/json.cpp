#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "laconic/error.h"

namespace laconic {
namespace {

template <typename T>
struct JsonTraits;
template <>
struct JsonTraits<bool> {
  static constexpr std::string_view kName = "a boolean";
  static bool Holds(const nlohmann::json& value) { return value.is_boolean(); }
};
template <>
struct JsonTraits<std::int64_t> {
  static constexpr std::string_view kName = "an integer";
  static bool Holds(const nlohmann::json& value) {
    // tokenizer_config.json writes "no limit" as the integer 10^30, which JSON readers meet as a float.
    return value.is_number_integer() ||
           (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()));
  }
};
template <>
struct JsonTraits<double> {
  static constexpr std::string_view kName = "a number";
  static bool Holds(const nlohmann::json& value) { return value.is_number(); }
};
template <>
struct JsonTraits<std::string> {
  static constexpr std::string_view kName = "a string";
  static bool Holds(const nlohmann::json& value) { return value.is_string(); }
};
template <>
struct JsonTraits<std::vector<std::string>> {
  static constexpr std::string_view kName = "a list of strings";
  static bool Holds(const nlohmann::json& value) {
    return value.is_array() && std::ranges::all_of(value, [](const auto& element) { return element.is_string(); });
  }
};

template <typename T>
T Convert(const nlohmann::json& value) {
  return value.get<T>();
}
template <>
std::int64_t Convert<std::int64_t>(const nlohmann::json& value) {
  constexpr double kLimit = 9.2e18;  // below 2^63, beyond which a double has no int64 value
  if (value.is_number_float()) {
    const double number = value.get<double>();
    return static_cast<std::int64_t>(std::min(std::max(number, -kLimit), kLimit));
  }
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
    return INT64_MAX;
  }
  return value.get<std::int64_t>();
}

}  // namespace

JsonOutline ScanJson(std::string_view text) noexcept {
  JsonOutline outline;
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      in_string = !in_string;
    } else if (in_string) {
      i += c == '\\' ? 1 : 0;
    } else if (c == '{' || c == '[') {
      outline.depth = std::max(outline.depth, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (c == ':' && depth == 1) {
      ++outline.num_members;
    }
  }
  return outline;
}

nlohmann::json ParseJson(std::string_view text) {
  // Not by nlohmann's callback: with one, the end of each object costs a walk over all that lie beside it.
  if (ScanJson(text).depth > kMaxJsonDepth) {
    Fail(ErrorCode::kInvalidFile, "JSON nested deeper than ", kMaxJsonDepth, " levels");
  }
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    Fail(ErrorCode::kInvalidFile, DescribeJsonError(error.what()));
  }
}

std::string DescribeJsonError(std::string_view what) {
  const auto skip = [&](std::string_view prefix) {
    const bool starts = what.starts_with(prefix);
    what.remove_prefix(starts ? prefix.size() : 0);
    return starts;
  };
  if (what.starts_with('[')) {  // "[json.exception.parse_error.101] "
    what.remove_prefix(std::min(what.find(' '), what.size() - 1) + 1);
  }
  if (!skip("parse error at ")) {
    return "malformed JSON: " + std::string(what);
  }
  skip("line 1, ");
  return "malformed JSON at " + std::string(what);
}

nlohmann::json ReadJsonFile(const std::filesystem::path& path, std::int64_t max_bytes) {
  return WithFrame([&] { return "file '" + path.string() + "'"; },
                   [&] { return ParseJson(ReadFile(path, max_bytes)); });
}

template <typename T>
T JsonValueOr(const nlohmann::json& object, std::string_view key, T fallback) {
  if (!object.is_object()) {
    Fail(ErrorCode::kInvalidFile, "expected a JSON object, got ", object.type_name());
  }
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) {
    return fallback;
  }
  if (!JsonTraits<T>::Holds(*found)) {
    Fail(ErrorCode::kInvalidFile, "'", key, "': expected ", JsonTraits<T>::kName, ", got ", found->type_name());
  }
  return Convert<T>(*found);
}

template bool JsonValueOr(const nlohmann::json&, std::string_view, bool);
template std::int64_t JsonValueOr(const nlohmann::json&, std::string_view, std::int64_t);
template double JsonValueOr(const nlohmann::json&, std::string_view, double);
template std::string JsonValueOr(const nlohmann::json&, std::string_view, std::string);
template std::vector<std::string> JsonValueOr(const nlohmann::json&, std::string_view, std::vector<std::string>);

}  // namespace laconic
