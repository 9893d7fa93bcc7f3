#include "interpreter/quantize_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/dynamic.h"
#include "quant/static.h"

namespace laconic::interpreter {
namespace {

// Which scale belongs to which element: one for all, one for each place along an axis, or one for each block of
// neighbours there.
class ScaleIndex {
 public:
  ScaleIndex(const OpCall& call, const Tensor& x, const Tensor& scale) {
    const std::int64_t block = call.Int("block_size");
    if (scale.num_elements() == 1 && block == 0) {
      return;
    }
    const std::size_t axis = call.Axis(x.shape().size());
    Shape expected = {x.shape()[axis]};
    if (block > 0) {
      expected = x.shape();
      expected[axis] = x.shape()[axis] / block + (x.shape()[axis] % block == 0 ? 0 : 1);
    }
    if (scale.shape() != expected || block < 0) {
      Fail(ErrorCode::kInvalidFile, "scale: expected ", ToString(expected), ", got ", ToString(scale.shape()));
    }
    inner_ = Product(std::span(x.shape()).subspan(axis + 1));
    size_ = x.shape()[axis];
    block_ = block;
    num_blocks_ = expected[block > 0 ? axis : 0];
  }

  std::size_t operator()(std::int64_t i) const {
    if (size_ == 0) {
      return 0;
    }
    const std::int64_t place = i / inner_ % size_;
    const std::int64_t outer = i / inner_ / size_;
    return static_cast<std::size_t>(block_ == 0 ? place : (outer * num_blocks_ + place / block_) * inner_ + i % inner_);
  }

 private:
  std::int64_t inner_ = 1;
  std::int64_t size_ = 0;  // 0: one scale for all
  std::int64_t block_ = 0;
  std::int64_t num_blocks_ = 1;
};

using Codes = Types<std::int8_t, std::uint8_t, std::int16_t>;

void CheckZeroPoint(const OpCall& call) {
  if (call.has(2) && call[2].num_elements() != call[1].num_elements()) {
    Fail(ErrorCode::kInvalidFile, "zero point: expected the scale's shape ", ToString(call[1].shape()), ", got ",
         ToString(call[2].shape()));
  }
}

// clamp(rne(x / scale) + zero_point). NaN has no code; it becomes the zero point.
template <typename T>
T QuantizeOne(float x, float scale, T zero_point) {
  using Limits = std::numeric_limits<T>;
  const float code = std::nearbyint(x / scale) + static_cast<float>(zero_point);
  return std::isnan(code) ? zero_point : static_cast<T>(std::clamp(code, float{Limits::min()}, float{Limits::max()}));
}

Tensors RunQuantizeLinear(const OpCall& call) {
  const Tensor x = Convert(call, call[0], DType::kF32);  // s32 too
  const ScaleIndex index(call, x, call[1]);
  CheckZeroPoint(call);
  const auto scales = call[1].values<float>();
  const std::string named = call.String("output_dtype");
  const DType dtype = call.has(2) ? call[2].dtype() : named.empty() ? DType::kU8 : ParseDType(named);
  return {Dispatch(Codes(), dtype, [&]<typename T>(T) {
    const auto from = x.values<float>();
    return call.Make<T>(x.shape(), [&](T* out) {
      for (std::size_t i = 0; i < from.size(); ++i) {
        const std::size_t at = index(static_cast<std::int64_t>(i));
        out[i] = QuantizeOne<T>(from[i], scales[at], call.has(2) ? call[2].values<T>()[at] : T{0});
      }
    });
  })};
}

Tensors RunDequantizeLinear(const OpCall& call) {
  const Tensor& x = call[0];
  const ScaleIndex index(call, x, call[1]);
  CheckZeroPoint(call);
  const auto scales = call[1].values<float>();
  using Stored = Types<std::int8_t, std::uint8_t, std::int16_t, std::int32_t>;
  return {Dispatch(Stored(), x.dtype(), [&]<typename T>(T) {
    const auto from = x.values<T>();
    return call.Make<float>(x.shape(), [&](float* out) {
      for (std::size_t i = 0; i < from.size(); ++i) {
        const std::size_t at = index(static_cast<std::int64_t>(i));
        const std::int64_t zero_point = call.has(2) ? call[2].values<T>()[at] : T{0};
        out[i] = static_cast<float>(from[i] - zero_point) * scales[at];
      }
    });
  })};
}

// One scale and zero point for all of x (quant::DynamicParams); none, scale NaN, where the range is not finite.
quant::RowParams QuantizeTogether(std::span<const float> x, std::span<std::uint8_t> q) {
  float lo = 0;
  float hi = 0;
  bool is_finite = true;
  for (const float value : x) {
    is_finite = is_finite && std::isfinite(value);
    lo = std::min(lo, value);
    hi = std::max(hi, value);
  }
  if (!is_finite || !std::isfinite(hi - lo)) {
    std::ranges::fill(q, std::uint8_t{0});
    return {std::numeric_limits<float>::quiet_NaN(), 0};
  }
  return quant::QuantizeRowStatic(x, {}, quant::DynamicParams(lo, hi), q);
}

Tensors RunDynamicQuantizeLinear(const OpCall& call) {
  quant::RowParams params;
  const Tensor codes = call.Make<std::uint8_t>(call[0].shape(), [&](std::uint8_t* out) {
    params = QuantizeTogether(call[0].values<float>(), {out, static_cast<std::size_t>(call[0].num_elements())});
  });
  return {codes, call.Make<float>({}, [&](float* out) { *out = params.scale; }),
          call.Make<std::uint8_t>({}, [&](std::uint8_t* out) { *out = static_cast<std::uint8_t>(params.zero_point); })};
}

Tensors RunDynamicQuantize(const OpCall& call) {
  const QuantizedRows rows = QuantizeDynamically(call, call[0]);
  const std::int64_t cols = call[0].shape().back();
  const auto codes = rows.codes.values<std::int32_t>();
  return {call.Make<float>(call[0].shape(), [&](float* out) {
    for (std::size_t i = 0; i < codes.size(); ++i) {
      out[i] = rows.scales.values<float>()[i / static_cast<std::size_t>(cols)] * static_cast<float>(codes[i]);
    }
  })};
}

}  // namespace

QuantizedRows QuantizeDynamically(const OpCall& call, const Tensor& x) {
  if (x.shape().empty()) {
    Fail(ErrorCode::kInvalidFile, "expected rows, got a number");
  }
  const auto cols = static_cast<std::size_t>(x.shape().back());
  const std::int64_t rows = Product(std::span(x.shape()).first(x.shape().size() - 1));
  const bool per_text = call.String(kGranularity) == kPerTensor;
  const auto rows_together = static_cast<std::size_t>(
      per_text && x.shape().size() > 1 ? Product(std::span(x.shape()).subspan(1, x.shape().size() - 2)) : 1);
  call.CheckSize(DType::kF32, {rows});  // rows without elements take memory too
  std::vector<float> scales;
  std::vector<std::uint8_t> codes(rows_together * cols);
  QuantizedRows result;
  result.codes = call.Make<std::int32_t>(x.shape(), [&](std::int32_t* out) {
    while (static_cast<std::int64_t>(scales.size()) < rows && rows_together > 0) {
      const auto group = x.values<float>().subspan(scales.size() * cols, codes.size());
      const quant::RowParams params = per_text ? QuantizeTogether(group, codes) : quant::QuantizeRowU8(group, codes);
      out = std::ranges::transform(codes, out, [&](std::uint8_t q) { return q - params.zero_point; }).out;
      scales.insert(scales.end(), rows_together, params.scale);
    }
  });
  result.scales = call.Make<float>({rows}, [&](float* out) { std::ranges::copy(scales, out); });
  return result;
}

std::span<const OpEntry> QuantizeOps() {
  static const OpEntry ops[] = {
      {"DequantizeLinear", RunDequantizeLinear},
      {"DynamicQuantizeLinear", RunDynamicQuantizeLinear},
      {"QuantizeLinear", RunQuantizeLinear},
      {"laconic.DynamicQuantize", RunDynamicQuantize},
  };
  return ops;
}

}  // namespace laconic::interpreter
