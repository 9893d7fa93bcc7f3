// Exact floats and integers in JSON, for calibration tables.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace laconic::quant {

// The bits of each value, 8 hexadecimal digits, without gaps.
std::string ToHex(std::span<const float> values);
std::string ToHex(float value);

// Errors: kInvalidFile for a text that is not `count` values.
std::vector<float> FromHex(std::string_view text, std::size_t count);

// Errors: kInvalidFile for what is not a list of integers from 0 to 2^64 - 1.
std::vector<std::uint64_t> Integers(const nlohmann::ordered_json& json);

// `object[key]` as std::int64_t, std::string, float (hexadecimal) or any JSON. Errors: kInvalidFile naming the key.
template <typename T>
T Member(const nlohmann::ordered_json& object, std::string_view key);

}  // namespace laconic::quant
