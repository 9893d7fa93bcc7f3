// Attention, in full; and what surrounds it in a model: masks, positions, mean pooling.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "interpreter/op.h"
#include "quant/int8_attention.h"

namespace laconic::interpreter {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// [B, S, heads * width] -> [B, heads, S, width]; four dimensions stay.
Tensor SplitHeads(const Tensor& x, std::int64_t heads) {
  const Shape& shape = x.shape();
  if (shape.size() == 4) {
    return x;
  }
  if (shape.size() != 3 || heads <= 0 || shape[2] % heads != 0) {
    Fail(ErrorCode::kInvalidFile, "expected 3 dimensions whose last ", heads, " heads divide, got ", ToString(shape));
  }
  return Permute(x.Reshaped({shape[0], shape[1], heads, shape[2] / heads}), {0, 2, 1, 3});
}

// Past and new rows of each head.
Tensor Append(const OpCall& call, std::size_t past, const Tensor& x) {
  if (!call.has(past)) {
    return x;
  }
  const Shape& before = call[past].shape();
  Shape shape = x.shape();
  if (before.size() != 4 || before[0] != shape[0] || before[1] != shape[1] || before[3] != shape[3]) {
    Fail(ErrorCode::kInvalidFile, "past of shape ", ToString(before), " does not fit ", ToString(shape));
  }
  shape[2] += before[2];
  const std::int64_t old_size = before[2] * before[3];
  const std::int64_t new_size = x.shape()[2] * x.shape()[3];
  return call.Make<float>(shape, [&](float* out) {
    for (std::int64_t i = 0; i < shape[0] * shape[1]; ++i) {
      out = std::copy_n(call[past].data_as<float>() + i * old_size, old_size, out);
      out = std::copy_n(x.data_as<float>() + i * new_size, new_size, out);
    }
  });
}

struct Geometry {
  std::int64_t batch = 0;
  std::int64_t heads = 0;
  std::int64_t heads_per_kv = 1;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  std::int64_t width = 0;
  std::int64_t value_width = 0;
};

// What is added to a score: 0, a float mask's value, or -inf.
class Bias {
 public:
  Bias(const OpCall& call, const Geometry& g)
      : is_causal_(call.Int("is_causal") != 0),
        left_(call.Int("left_window_size")),
        right_(call.Int("right_window_size")),
        past_(call.has(4) ? call[4].shape()[2] : 0) {
    if (call.has(3)) {
      mask_ = PaddedMask(call, call[3], g);
    }
    if (call.has(6)) {
      lengths_ = call.Ints(6);
      if (static_cast<std::int64_t>(lengths_->size()) != g.batch || call.has(4)) {
        Fail(ErrorCode::kInvalidFile, "nonpad_kv_seqlen: expected ", g.batch, " lengths and no past");
      }
    }
  }

  float operator()(const Geometry& g, std::int64_t b, std::int64_t head, std::int64_t query, std::int64_t key) const {
    const std::int64_t length = lengths_ ? (*lengths_)[static_cast<std::size_t>(b)] : g.keys;
    const std::int64_t place = query + (lengths_ ? length - g.queries : past_);
    const bool hidden = key >= length || (is_causal_ && key > place) || (left_ >= 0 && place - key > left_) ||
                        (right_ >= 0 && key - place > right_);
    if (hidden) {
      return -kInfinity;
    }
    return mask_ ? mask_->data_as<float>()[((b * g.heads + head) * g.queries + query) * g.keys + key] : 0.0F;
  }

 private:
  // As f32 [B, heads, Q, K]; keys that a shorter mask does not reach are hidden.
  static Tensor PaddedMask(const OpCall& call, const Tensor& mask, const Geometry& g) {
    if (mask.shape().empty() || mask.shape().size() > 4 || mask.shape().back() > g.keys) {
      Fail(ErrorCode::kInvalidFile, "mask of shape ", ToString(mask.shape()), " for ", g.keys, " keys");
    }
    const bool is_bool = mask.dtype() == DType::kBool;
    const Tensor values = is_bool ? Map<float, bool>(call, mask, [](bool seen) { return seen ? 0.0F : -kInfinity; })
                                  : Convert(call, mask, DType::kF32);
    const std::int64_t length = mask.shape().back();
    Tensor padded = values;
    if (length != 1 && length != g.keys) {
      Shape shape = mask.shape();
      shape.back() = g.keys;
      padded = call.Make<float>(shape, [&](float* out) {
        for (std::int64_t row = 0; row < Product(std::span(shape).first(shape.size() - 1)); ++row) {
          out = std::copy_n(values.data_as<float>() + row * length, length, out);
          out = std::fill_n(out, g.keys - length, -kInfinity);
        }
      });
    }
    return BroadcastTo(call, padded, {g.batch, g.heads, g.queries, g.keys});
  }

  bool is_causal_;
  std::int64_t left_;
  std::int64_t right_;
  std::int64_t past_;
  std::optional<Tensor> mask_;
  std::optional<std::vector<std::int64_t>> lengths_;
};

// Softmax of a row of scores; a row that sees no key is 0.
void Softmax(std::span<float> row, bool sees_nothing) {
  const float max = row.empty() ? 0.0F : *std::ranges::max_element(row);
  if (sees_nothing || max == -kInfinity) {
    std::ranges::fill(row, 0.0F);
    return;
  }
  double sum = 0;
  for (float& x : row) {
    x = std::exp(x - max);
    sum += x;
  }
  for (float& x : row) {
    x = static_cast<float>(x / sum);
  }
}

struct Scores {
  Tensor shown;  // what the fourth output asks for
  Tensor weights;
};

// [B, heads, Q, K]. Stages of the fourth output: 0 product, 1 after the soft cap, 2 with the bias, 3 after softmax.
Scores ComputeScores(const OpCall& call, const Geometry& g, const Tensor& q, const Tensor& k) {
  const Bias bias(call, g);
  const std::int64_t mode = call.Int("qk_matmul_output_mode");
  const float softcap = call.Float("softcap");
  const float scale = call.Float("scale") == 0 ? 1 / std::sqrt(static_cast<float>(g.width)) : call.Float("scale");
  const Shape shape = {g.batch, g.heads, g.queries, g.keys};
  call.CheckSize(DType::kF32, shape);
  std::vector<float> shown(call.num_outputs() > 3 ? static_cast<std::size_t>(NumElements(shape)) : 0);
  Scores scores;
  scores.weights = call.Make<float>(shape, [&](float* out) {
    for (std::int64_t row = 0; row < g.batch * g.heads * g.queries; ++row) {
      const std::int64_t b = row / (g.heads * g.queries);
      const std::int64_t head = row / g.queries % g.heads;
      const float* query = q.data_as<float>() + row * g.width;
      const float* keys =
          k.data_as<float>() + (b * (g.heads / g.heads_per_kv) + head / g.heads_per_kv) * g.keys * g.width;
      const std::span line(out + row * g.keys, static_cast<std::size_t>(g.keys));
      bool sees_nothing = true;
      for (std::int64_t key = 0; key < g.keys; ++key) {
        float product = 0;
        for (std::int64_t i = 0; i < g.width; ++i) {
          product += query[i] * keys[key * g.width + i];
        }
        product *= scale;
        const float capped = softcap > 0 ? softcap * std::tanh(product / softcap) : product;
        const float added = bias(g, b, head, row % g.queries, key);
        sees_nothing = sees_nothing && added == -kInfinity;
        line[static_cast<std::size_t>(key)] = capped + added;
        if (!shown.empty() && mode < 3) {
          shown[static_cast<std::size_t>(row * g.keys + key)] = mode == 0   ? product
                                                                : mode == 1 ? capped
                                                                            : capped + added;
        }
      }
      Softmax(line, sees_nothing);
    }
  });
  scores.shown = mode == 3 || shown.empty()
                     ? scores.weights
                     : call.Make<float>(shape, [&](float* out) { std::ranges::copy(shown, out); });
  return scores;
}

// [B, heads, Q, value width]
Tensor WeighValues(const OpCall& call, const Geometry& g, const Tensor& weights, const Tensor& v) {
  return call.Make<float>({g.batch, g.heads, g.queries, g.value_width}, [&](float* out) {
    std::fill_n(out, g.batch * g.heads * g.queries * g.value_width, 0.0F);
    for (std::int64_t row = 0; row < g.batch * g.heads * g.queries; ++row, out += g.value_width) {
      const std::int64_t kv_head = row / g.queries / g.heads_per_kv;
      for (std::int64_t key = 0; key < g.keys; ++key) {
        const float weight = weights.data_as<float>()[row * g.keys + key];
        const float* value = v.data_as<float>() + (kv_head * g.keys + key) * g.value_width;
        for (std::int64_t i = 0; i < g.value_width; ++i) {
          out[i] += weight * value[i];
        }
      }
    }
  });
}

Geometry CheckGeometry(const Tensor& q, const Tensor& k, const Tensor& v) {
  const Geometry g{q.shape()[0], q.shape()[1], k.shape()[1] == 0 ? 0 : q.shape()[1] / k.shape()[1],
                   q.shape()[2], k.shape()[2], q.shape()[3],
                   v.shape()[3]};
  const bool fits = k.shape()[0] == g.batch && v.shape()[0] == g.batch && k.shape()[1] == v.shape()[1] &&
                    g.heads_per_kv > 0 && g.heads == g.heads_per_kv * k.shape()[1] && v.shape()[2] == g.keys &&
                    k.shape()[3] == g.width;
  if (!fits) {
    Fail(ErrorCode::kInvalidFile, "query, key and value do not fit: ", ToString(q.shape()), ", ", ToString(k.shape()),
         ", ", ToString(v.shape()));
  }
  return g;
}

// Inputs: query, key, value, mask?, past key?, past value?, lengths of the keys?
Tensors RunAttention(const OpCall& call) {
  if (call[0].dtype() != DType::kF32) {
    Fail(ErrorCode::kUnsupported, "not implemented for element type ", ToString(call[0].dtype()));
  }
  const bool is_flat = call[0].shape().size() == 3;
  const Tensor q = SplitHeads(call[0], call.Int("q_num_heads"));
  const Tensor k = Append(call, 4, SplitHeads(call[1], call.Int("kv_num_heads")));
  const Tensor v = Append(call, 5, SplitHeads(call[2], call.Int("kv_num_heads")));
  const Geometry g = CheckGeometry(q, k, v);
  const Scores scores = ComputeScores(call, g, q, k);
  Tensor y = WeighValues(call, g, scores.weights, v);
  if (is_flat) {
    y = Permute(y, {0, 2, 1, 3}).Reshaped({g.batch, g.queries, g.heads * g.value_width});
  }
  Tensors results = {y, k, v, scores.shown};
  results.resize(call.num_outputs());
  return results;
}

// The rows of text `b` that `is_seen` (null: all) shows, of one head: [rows, width].
std::vector<float> HeadRows(const Tensor& x, std::int64_t b, std::int64_t head, std::int64_t width,
                            const bool* is_seen = nullptr) {
  const std::int64_t length = x.shape()[1];
  std::vector<float> rows;
  for (std::int64_t s = 0; s < length; ++s) {
    if (is_seen == nullptr || is_seen[s]) {
      const float* row = x.data_as<float>() + (b * length + s) * x.shape()[2] + head * width;
      rows.insert(rows.end(), row, row + width);
    }
  }
  return rows;
}

// Inputs: query, key, value, mask?
Tensors RunInt8Attention(const OpCall& call) {
  const Shape& shape = call[0].shape();
  const std::int64_t heads = call.Int("num_heads");
  const std::int64_t width = shape[2] / heads;
  const std::int64_t keys = call[1].shape()[1];
  return {call.Make<float>(shape, [&](float* out) {
    for (std::int64_t b = 0; b < shape[0]; ++b, out += shape[1] * shape[2]) {
      const bool* is_seen = call.has(3) ? call[3].data_as<bool>() + b * keys : nullptr;
      for (std::int64_t head = 0; head < heads; ++head) {
        const std::vector<float> query = HeadRows(call[0], b, head, width);
        std::vector<float> result(query.size());
        quant::Int8Attention(query, HeadRows(call[1], b, head, width, is_seen),
                             HeadRows(call[2], b, head, width, is_seen), static_cast<std::size_t>(width),
                             call.Float("scale"), result);
        for (std::int64_t i = 0; i < shape[1]; ++i) {
          std::copy_n(result.begin() + i * width, width, out + i * shape[2] + head * width);
        }
      }
    }
  })};
}

Tensors RunKeyMask(const OpCall& call) {
  const Shape& shape = call[0].shape();
  return {Convert(call, call[0], DType::kBool).Reshaped({shape[0], 1, 1, shape[1]})};
}

Tensors RunPositions(const OpCall& call) {
  const std::int64_t length = call[0].shape()[1];
  return {call.Make<std::int64_t>({1, length},
                                  [&](std::int64_t* out) { std::iota(out, out + length, call.Int("offset")); })};
}

// x [B, S, H], mask [B, S]. A text without positions: NaN.
Tensors RunMeanPool(const OpCall& call) {
  const Shape& shape = call[0].shape();
  if (call[1].shape() != Shape{shape[0], shape[1]}) {
    Fail(ErrorCode::kInvalidFile, "mask: expected [", shape[0], ", ", shape[1], "], got ", ToString(call[1].shape()));
  }
  const Tensor seen = Convert(call, call[1], DType::kBool);
  return {call.Make<float>({shape[0], shape[2]}, [&](float* out) {
    std::vector<double> sum(static_cast<std::size_t>(shape[2]));
    const float* row = call[0].data_as<float>();
    const bool* is_seen = seen.data_as<bool>();
    for (std::int64_t b = 0; b < shape[0]; ++b) {
      std::ranges::fill(sum, 0.0);
      double count = 0;
      for (std::int64_t s = 0; s < shape[1]; ++s, row += shape[2]) {
        if (*is_seen++) {
          std::ranges::transform(sum, std::span(row, sum.size()), sum.begin(), std::plus<double>());
          ++count;
        }
      }
      out = std::ranges::transform(sum, out, [&](double x) { return static_cast<float>(x / count); }).out;
    }
  })};
}

}  // namespace

std::span<const OpEntry> AttentionOps() {
  static const OpEntry ops[] = {
      {"Attention", RunAttention},       {"laconic.Int8Attention", RunInt8Attention}, {"laconic.KeyMask", RunKeyMask},
      {"laconic.MeanPool", RunMeanPool}, {"laconic.Positions", RunPositions},
  };
  return ops;
}

}  // namespace laconic::interpreter
