// quantize_static for every vector level.
#pragma once

#include "kernels/quantize_static/quantize_static.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

// What rounds x * factor / scale to the nearest integer, half to even, as if product and quotient had been rounded to
// f32 each.
//
// x * (factor * (1 / scale)) is that quotient but for five roundings: below 512, where codes are not yet cut, they move
// it by less than 512 * 5 * 2^-24 < 2^-12. If it lies no nearer to a tie than that, both round to the same integer;
// otherwise (one value in 2048, and NaN) the vector is divided after all, which takes some five times as long.
struct StaticQuantizer {
  Vec16 scale;
  Vec16 inv_scale;  // NaN if digits could be lost
  Vec16 lo, hi;     // of quotients: what lies outside has the code of the nearer one
  Vec16 shift;      // added to a quotient, it leaves the code in the lowest byte
};

// `multiplier`: the factors of all columns that will be rounded, or null for 1.
[[gnu::always_inline]] inline StaticQuantizer MakeStaticQuantizer(float scale, std::int32_t zero_point,
                                                                  const float* multiplier, std::int64_t cols) {
  const auto is_normal = [](float x) { return __builtin_fabsf(x) > 0x1p-100F && __builtin_fabsf(x) < 0x1p100F; };
  const float inv_scale = 1.0F / scale;
  bool all_normal = is_normal(inv_scale);
  std::int64_t c = multiplier == nullptr ? cols : 0;
  for (; c + kLanes <= cols; c += kLanes) {
    const Vec16 quotient = Abs(Mul(Load(multiplier + c), Set1(inv_scale)));
    all_normal = all_normal && AllLess(Set1(0x1p-100F), quotient) && AllLess(quotient, Set1(0x1p100F));
  }
  for (; c < cols; ++c) {
    all_normal = all_normal && is_normal(multiplier[c] * inv_scale);
  }
  const auto zero = static_cast<float>(zero_point);
  return {Set1(scale), Set1(all_normal ? inv_scale : __builtin_nanf("")), Set1(-zero), Set1(255.0F - zero),
          Set1(kRoundToBits + zero)};
}

// The codes of value * factor, each in the lowest byte of its lane; of NaN any. factor_quotient: factor * inv_scale.
// product() gives value * factor: it is called where a code is in doubt, or NaN.
template <typename Product>
[[gnu::always_inline]] inline Vec16 StaticCodes(const StaticQuantizer& quantizer, Vec16 factor_quotient, Vec16 value,
                                                const Product& product) {
  const Vec16 quotient = Min(quantizer.hi, Max(quantizer.lo, Mul(value, factor_quotient)));
  const Vec16 shifted = Add(quotient, quantizer.shift);
  const Vec16 rest = Sub(quotient, Sub(shifted, quantizer.shift));
  if (AllLess(Abs(rest), Set1(0.5F - 0x1p-12F))) {
    return shifted;
  }
  const Vec16 rounded = Round(Div(product(), quantizer.scale));
  return Add(Min(quantizer.hi, Max(quantizer.lo, rounded)), quantizer.shift);
}

inline Vec16 LoadFactor(const float* multiplier, std::int64_t c, std::int64_t left) {
  return multiplier == nullptr ? Set1(1.0F) : LoadPart(multiplier + c, left);
}

// One row, vector by vector.
class StaticRow {
 public:
  // multiplier: [cols], or null for 1; q: [cols].
  StaticRow(const StaticQuantizer& quantizer, const float* multiplier, std::uint8_t* q)
      : quantizer_(quantizer), multiplier_(multiplier), q_(q) {}

  // Columns from c on, of which `left` exist.
  [[gnu::always_inline]] void Put(std::int64_t c, std::int64_t left, Vec16 value) {
    const auto product = [&] {
      constexpr float kLargest = 3.40282347e38F;
      const Vec16 scaled = Mul(value, LoadFactor(multiplier_, c, left));
      // Infinities are cut to finite numbers before they are added.
      bad_ = Fma(Max(Set1(-kLargest), Min(Set1(kLargest), scaled)), Set1(0.0F), bad_);
      return scaled;
    };
    const Vec16 factor_quotient = Mul(LoadFactor(multiplier_, c, left), quantizer_.inv_scale);
    StorePartLowBytes(q_ + c, StaticCodes(quantizer_, factor_quotient, value, product), left);
  }

  // What stands for the row's scale and zero point.
  void Finish(std::int64_t cols, float scale, std::int32_t zero_point, float* row_scale, std::int32_t* row_zero) {
    const bool has_nan = ReduceAdd(bad_) != 0;  // it is 0 or NaN
    for (std::int64_t i = 0; has_nan && i < cols; ++i) {
      q_[i] = 0;
    }
    *row_scale = has_nan ? __builtin_nanf("") : scale;
    *row_zero = has_nan ? 0 : zero_point;
  }

 private:
  const StaticQuantizer& quantizer_;
  const float* multiplier_;
  std::uint8_t* q_;
  Vec16 bad_ = Set1(0.0F);  // NaN from the first NaN on
};

inline void QuantizeStatic(const QuantizeStaticArgs& args) {
  const StaticQuantizer quantizer = MakeStaticQuantizer(args.scale, args.zero_point, args.multiplier, args.cols);
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    StaticRow codes(quantizer, args.multiplier, args.q + row * args.q_stride);
    for (std::int64_t c = 0; c < args.cols; c += kLanes) {
      codes.Put(c, args.cols - c, LoadPart(x + c, args.cols - c));
    }
    codes.Finish(args.cols, args.scale, args.zero_point, args.row_scale + row, args.row_zero + row);
  }
}

}  // namespace
}  // namespace laconic::kernels
