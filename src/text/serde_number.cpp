#include "text/serde_number.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "laconic/error.h"

namespace laconic::text {
namespace {

constexpr std::int64_t kLargestPower = 308;

// The double nearest to 10^exponent, infinity above 10^308. Precondition: exponent >= 0.
double PowerOfTen(std::int64_t exponent) {
  double power = std::numeric_limits<double>::infinity();
  if (exponent <= kLargestPower) {
    const std::string text = "1e" + std::to_string(exponent);
    std::from_chars(text.data(), text.data() + text.size(), power);
  }
  return power;
}

// digits * 10^exponent, before rounding.
struct Parts {
  std::uint64_t digits = 0;
  std::int64_t exponent = 0;
};

// The digits before the exponent's mark; moves *at there.
Parts ReadDigits(std::string_view text, std::size_t* at) {
  Parts parts;
  bool full = false;
  bool fraction = false;
  for (; *at < text.size() && text[*at] != 'e' && text[*at] != 'E'; ++*at) {
    if (text[*at] == '.') {
      fraction = true;
      full = false;  // a digit that did not fit before the point does not keep a smaller one behind it out
      continue;
    }
    const auto digit = static_cast<std::uint64_t>(text[*at] - '0');
    full = full || parts.digits > (UINT64_MAX - digit) / 10;
    if (!full) {
      parts.digits = parts.digits * 10 + digit;
    }
    // A digit that is kept behind the point counts down, one that is dropped before it counts up.
    parts.exponent += fraction == full ? 0 : (full ? 1 : -1);
  }
  return parts;
}

std::int64_t ReadExponent(std::string_view text) {
  text.remove_prefix(text.starts_with('+') ? 1 : 0);
  std::int64_t exponent = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), exponent);
  return result.ec == std::errc() ? exponent : text.starts_with('-') ? -INT32_MAX : INT32_MAX;
}

}  // namespace

double ParseSerdeDouble(std::string_view text) {
  const bool negative = text.starts_with('-');
  std::size_t at = negative ? 1 : 0;
  Parts parts = ReadDigits(text, &at);
  if (at < text.size()) {
    parts.exponent += ReadExponent(text.substr(at + 1));
  }
  auto value = static_cast<double>(parts.digits);
  for (; parts.exponent < -kLargestPower && value != 0.0; parts.exponent += kLargestPower) {
    value /= 1e308;
  }
  if (value != 0.0) {
    value = parts.exponent >= 0 ? value * PowerOfTen(parts.exponent) : value / PowerOfTen(-parts.exponent);
  }
  if (!std::isfinite(value)) {
    Fail(ErrorCode::kInvalidFile, "number out of range: ", text);
  }
  return negative ? -value : value;
}

}  // namespace laconic::text
