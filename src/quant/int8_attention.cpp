#include "quant/int8_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "quant/dynamic.h"

namespace laconic::quant {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Codes of several vectors of one length.
struct Vectors {
  std::vector<std::int8_t> codes;
  std::vector<float> steps;
  std::size_t length = 0;

  std::span<const std::int8_t> operator[](std::size_t i) const { return std::span(codes).subspan(i * length, length); }
};

Vectors QuantizeRows(std::span<const float> x, std::size_t rows, std::size_t length) {
  Vectors result = {std::vector<std::int8_t>(x.size()), std::vector<float>(rows), length};
  for (std::size_t i = 0; i < rows; ++i) {
    result.steps[i] =
        QuantizeVectorS8(x.subspan(i * length, length), std::span(result.codes).subspan(i * length, length));
  }
  return result;
}

Vectors QuantizeColumns(std::span<const float> x, std::size_t rows, std::size_t cols) {
  std::vector<float> turned(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    turned[i % cols * rows + i / cols] = x[i];
  }
  return QuantizeRows(turned, cols, rows);
}

template <typename T>
float Dot(std::span<const T> a, std::span<const std::int8_t> b) {
  return static_cast<float>(std::inner_product(a.begin(), a.end(), b.begin(), std::int64_t{0}));
}

// Scores become codes of weights; false where there are none.
bool Weigh(std::span<const float> scores, std::span<std::uint8_t> weights) {
  const float max = *std::ranges::max_element(scores);
  if (!std::isfinite(max) || std::ranges::any_of(scores, [](float score) { return std::isnan(score); })) {
    return false;
  }
  std::ranges::transform(scores, weights.begin(), [&](float score) {
    return static_cast<std::uint8_t>(std::nearbyint(255.0F * std::exp(score - max)));
  });
  return true;
}

}  // namespace

float QuantizeVectorS8(std::span<const float> x, std::span<std::int8_t> q) {
  float largest = 0;
  bool is_finite = true;
  for (const float value : x) {
    is_finite = is_finite && std::isfinite(value);
    largest = std::max(largest, std::abs(value));
  }
  if (!is_finite) {
    std::ranges::fill(q, std::int8_t{0});
    return kNaN;
  }
  const float step = std::max(largest / 127.0F, kMinDynamicScale);
  const float inv_step = 1.0F / step;
  std::ranges::transform(x, q.begin(),
                         [&](float value) { return static_cast<std::int8_t>(std::nearbyint(value * inv_step)); });
  return step;
}

void Int8Attention(std::span<const float> query, std::span<const float> key, std::span<const float> value,
                   std::size_t width, float scale, std::span<float> out) {
  const std::size_t num_queries = query.size() / width;
  const std::size_t num_keys = key.size() / width;
  if (num_keys == 0) {
    std::ranges::fill(out, 0.0F);
    return;
  }
  const Vectors q = QuantizeRows(query, num_queries, width);
  const Vectors k = QuantizeRows(key, num_keys, width);
  const Vectors v = QuantizeColumns(value, num_keys, width);
  std::vector<float> scores(num_keys);
  std::vector<std::uint8_t> weights(num_keys);
  for (std::size_t i = 0; i < num_queries; ++i) {
    const float factor = q.steps[i] * scale;
    for (std::size_t j = 0; j < num_keys; ++j) {
      scores[j] = Dot(q[i], k[j]) * factor * k.steps[j];
    }
    const bool has_weights = Weigh(scores, weights);
    const float inv_sum = 1.0F / static_cast<float>(std::accumulate(weights.begin(), weights.end(), std::int64_t{0}));
    for (std::size_t j = 0; j < width; ++j) {
      const float sum = Dot(std::span<const std::uint8_t>(weights), v[j]);
      out[i * width + j] = has_weights ? sum * inv_sum * v.steps[j] : kNaN;
    }
  }
}

}  // namespace laconic::quant
