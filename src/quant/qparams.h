// Scale and zero point of a range of values, real = scale * (q - zero_point), in the conventions of ONNX Runtime and of
// PyTorch. docs/numerics.md gives the formulas and where the two differ.
#pragma once

#include <cstdint>

#include "laconic/qconfig.h"
#include "quant/dynamic.h"

namespace laconic::quant {

struct Codes {
  std::int32_t min = 0;
  std::int32_t max = 255;
  bool operator==(const Codes&) const = default;
};

// The codes that `config` allows: its dtype, all of it or 7 bits of it.
//                          u8        s8             s8 symmetric   reduced u8   reduced s8
//   Convention::kOnnxRuntime  0..255   -128..127      -127..127      0..127       -64..64
//   Convention::kPyTorch      0..255   -128..127      -128..127      0..127       -64..63
Codes CodesOf(const TensorQConfig& config) noexcept;

struct Range {
  float min = 0;
  float max = 0;
};

// The parameters for values in `range`, which is widened to hold 0, so that 0 is exact. (ONNX Runtime's percentile of a
// constant gives a minimum above the maximum: widened, it is a range too.)
// Source: onnxruntime.quantization.quant_utils.compute_scale_zp; torch.ao.quantization.UniformQuantizationObserverBase.
// Errors: kInvalidArgument for a bound that is not finite; PyTorch's convention: for a width that is not.
RowParams ParamsOf(Range range, const TensorQConfig& config);

// Of symmetric weights: the zero point of their codes, and the codes less it, which fit s8.
//                          s8   u8    reduced u8
//   WeightZeroPoint        0    128   64
std::int32_t WeightZeroPoint(const TensorQConfig& config) noexcept;
Codes WeightCodes(const TensorQConfig& config) noexcept;

}  // namespace laconic::quant
