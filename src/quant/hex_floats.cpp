#include "quant/hex_floats.h"

#include <algorithm>
#include <bit>
#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "laconic/error.h"

namespace laconic::quant {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::size_t kDigits = 8;

// A value to quote in an error.
std::string Excerpt(const Json& json) { return json.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 60); }

}  // namespace

std::string ToHex(std::span<const float> values) {
  std::string text;
  text.reserve(values.size() * kDigits);
  for (const float value : values) {
    fmt::format_to(std::back_inserter(text), "{:08x}", std::bit_cast<std::uint32_t>(value));
  }
  return text;
}

std::string ToHex(float value) { return ToHex(std::span(&value, 1)); }

std::vector<float> FromHex(std::string_view text, std::size_t count) {
  if (text.size() != count * kDigits) {
    Fail(ErrorCode::kInvalidFile, "expected ", count, " values of ", kDigits, " hexadecimal digits, got ", text.size(),
         " characters");
  }
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t bits = 0;
    const char* begin = text.data() + i * kDigits;
    if (std::from_chars(begin, begin + kDigits, bits, 16).ptr != begin + kDigits) {
      Fail(ErrorCode::kInvalidFile, "expected hexadecimal digits at character ", i * kDigits);
    }
    values[i] = std::bit_cast<float>(bits);
  }
  return values;
}

std::vector<std::uint64_t> Integers(const Json& json) {
  const auto is_natural = [](const Json& element) { return element.is_number_integer() && element >= 0; };
  if (!json.is_array() || !std::ranges::all_of(json, is_natural)) {
    Fail(ErrorCode::kInvalidFile, "expected a list of integers that are not negative, got ", Excerpt(json));
  }
  return json.get<std::vector<std::uint64_t>>();
}

template <typename T>
T Member(const Json& object, std::string_view key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end()) {
    Fail(ErrorCode::kInvalidFile, "expected an object with '", key, "', got ", Excerpt(object));
  }
  return WithFrame([&] { return "'" + std::string(key) + "'"; },
                   [&] {
                     if constexpr (std::is_same_v<T, Json>) {
                       return *found;
                     } else if constexpr (std::is_same_v<T, std::int64_t>) {
                       if (!found->is_number_integer() || (found->is_number_unsigned() && *found > INT64_MAX)) {
                         Fail(ErrorCode::kInvalidFile, "expected an integer, got ", Excerpt(*found));
                       }
                       return found->template get<std::int64_t>();
                     } else {
                       if (!found->is_string()) {
                         Fail(ErrorCode::kInvalidFile, "expected a string, got ", Excerpt(*found));
                       }
                       if constexpr (std::is_same_v<T, float>) {
                         return FromHex(found->template get_ref<const std::string&>(), 1)[0];
                       } else {
                         return found->template get<std::string>();
                       }
                     }
                   });
}

template std::int64_t Member(const Json&, std::string_view);
template std::string Member(const Json&, std::string_view);
template float Member(const Json&, std::string_view);
template Json Member(const Json&, std::string_view);

}  // namespace laconic::quant
