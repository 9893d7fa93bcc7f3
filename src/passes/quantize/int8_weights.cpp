#include "passes/quantize/int8_weights.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "laconic/error.h"
#include "quant/weight_range.h"
#include "quant/weights.h"

namespace laconic::passes {
namespace {

struct QuantizedRows {
  Tensor codes;               // s8, as the weight
  std::vector<float> scales;  // of each row, or of each row's blocks, row after row
};

constexpr std::int64_t kReleaseBytes = 16 << 20;  // a table over 2 GB must not stay in memory while it is read

// `weight` [rows, cols]; `block` columns share a scale.
QuantizedRows QuantizeRows(const Tensor& weight, std::int64_t block) {
  const std::int64_t rows = weight.shape()[0];
  const std::int64_t cols = weight.shape()[1];
  QuantizedRows out;
  const std::int64_t release_rows = kReleaseBytes / (std::max<std::int64_t>(cols, 1) * SizeOf(weight.dtype())) + 1;
  out.codes = Tensor::Make(DType::kS8, weight.shape(), [&](std::byte* data) {
    for (std::int64_t row = 0; row < rows; ++row) {
      if (row % release_rows == 0 && row > 0 && weight.is_contiguous()) {
        weight.Slice(row - release_rows, row).ReleasePages();
      }
      const Tensor values = weight.Slice(row, row + 1).Contiguous();
      const std::span<std::int8_t> codes(reinterpret_cast<std::int8_t*>(data) + row * cols,
                                         static_cast<std::size_t>(cols));
      const std::vector<float> scales =
          WithFrame([&] { return "row " + std::to_string(row); },
                    [&] { return quant::QuantizeBlocksS8(values.values<float>(), block, codes); });
      out.scales.insert(out.scales.end(), scales.begin(), scales.end());
    }
  });
  return out;
}

// `weight` [n, k] to nearest.
QuantizedRows RoundLinear(const Tensor& weight, const TensorQConfig& config) {
  const Tensor values = weight.Contiguous();
  const quant::MatrixView rows = {values.data_as<float>(), values.shape()[0], values.shape()[1]};
  QuantizedRows out = {.scales = quant::WeightScales(rows, config)};
  out.codes = Tensor::Make(DType::kS8, values.shape(), [&](std::byte* data) {
    for (std::int64_t row = 0; row < rows.rows; ++row) {
      const std::span<std::int8_t> codes(reinterpret_cast<std::int8_t*>(data) + row * rows.cols,
                                         static_cast<std::size_t>(rows.cols));
      quant::RoundRow(rows.row(row), out.scales[static_cast<std::size_t>(row)], quant::WeightCodes(config), codes);
    }
  });
  return out;
}

Tensor ShiftToU8(const Tensor& codes, std::int32_t zero_point) {
  const Tensor flat = codes.is_contiguous() ? codes : codes.Transposed().Contiguous();  // a transposed view stays one
  Tensor shifted = Tensor::Make(DType::kU8, flat.shape(), [&](std::byte* data) {
    std::ranges::transform(flat.values<std::int8_t>(), reinterpret_cast<std::uint8_t*>(data),
                           [&](std::int8_t code) { return static_cast<std::uint8_t>(code + zero_point); });
  });
  return codes.is_contiguous() ? shifted : shifted.Transposed();
}

}  // namespace

Tensor ScaleTensor(std::span<const float> scales, const TensorQConfig& config) {
  const bool per_channel = config.granularity == Granularity::kChannel;
  return Tensor::FromValues<float>(per_channel ? Shape{static_cast<std::int64_t>(scales.size())} : Shape{},
                                   scales.first(per_channel ? scales.size() : 1));
}

ValueId Int8Weights::operator()(const Layer& layer) {
  const auto found = weights_.find(layer.weight);
  if (found != weights_.end()) {
    return found->second;
  }
  const std::string& name = from_.value(layer.weight).name;
  const ValueId dequantized = layer.kind == LayerKind::kLinear ? Linear(layer, name) : Embedding(layer.weight, name);
  weights_.emplace(layer.weight, dequantized);
  return dequantized;
}

ValueId Int8Weights::Linear(const Layer& layer, const std::string& name) {
  const TensorQConfig& config = qconfig_.OfLayer(layer.name).weights;
  Tensor codes;
  Tensor scale;
  if (const LinearRounding* rounding = FindRounding(layer.weight)) {
    codes = rounding->codes;
    scale = rounding->scale;
  } else {
    const Tensor& values = *from_.FindInitializer(layer.weight);
    const QuantizedRows rows = RoundLinear(values.Transposed(), config);
    values.ReleasePages();
    codes = rows.codes.Transposed();
    scale = ScaleTensor(rows.scales, config);
  }
  const bool is_signed = config.dtype == CodeType::kS8;
  const std::int32_t zero_point = quant::WeightZeroPoint(config);
  std::vector<ValueId> inputs = {
      to_.AddInitializer(name + "_quantized", is_signed ? codes : ShiftToU8(codes, zero_point)),
      to_.AddInitializer(name + "_scale", scale)};
  if (!is_signed) {
    const std::vector<std::uint8_t> zeros(static_cast<std::size_t>(scale.num_elements()),
                                          static_cast<std::uint8_t>(zero_point));
    inputs.push_back(to_.AddInitializer(name + "_zero_point", Tensor::FromValues<std::uint8_t>(scale.shape(), zeros)));
  }
  return to_.AddNode("DequantizeLinear", name, std::move(inputs), {{"axis", std::int64_t{1}}});
}

ValueId Int8Weights::Embedding(ValueId table, const std::string& name) {
  const Tensor& values = *from_.FindInitializer(table);
  const std::int64_t width = values.shape()[1];
  const std::int64_t block = qconfig_.embedding_block;
  const bool in_blocks = block > 0 && width % block == 0;
  const QuantizedRows rows = QuantizeRows(values, in_blocks ? block : std::max<std::int64_t>(width, 1));
  values.ReleasePages();
  const Shape scale_shape = in_blocks ? Shape{values.shape()[0], width / block} : Shape{values.shape()[0]};
  const ValueId stored = to_.AddInitializer(name + "_quantized", rows.codes);
  const ValueId scale = to_.AddInitializer(name + "_scale", Tensor::FromValues<float>(scale_shape, rows.scales));
  return to_.AddNode("DequantizeLinear", name, {stored, scale},
                     {{"axis", std::int64_t{in_blocks ? 1 : 0}}, {"block_size", std::int64_t{in_blocks ? block : 0}}});
}

ValueId Int8Weights::Smoothed(ValueId input, ValueId x) {
  if (rounding_ == nullptr) {
    return x;
  }
  const auto factor = rounding_->inv_smooth.find(input);
  if (factor == rounding_->inv_smooth.end()) {
    return x;
  }
  const auto found = smoothed_.find(input);
  if (found != smoothed_.end()) {
    return found->second;
  }
  const std::string name = from_.value(input).name + "_smoothed";
  const ValueId inv_smooth = to_.AddInitializer(name + "_by", factor->second);
  return smoothed_[input] = to_.AddNode("Mul", name, {x, inv_smooth});
}

ValueId Int8Weights::ShiftedBias(const Layer& layer, ValueId bias) {
  const LinearRounding* rounding = FindRounding(layer.weight);
  const Tensor* old = bias == kNoValue ? nullptr : from_.FindInitializer(bias);
  if (rounding == nullptr || rounding->bias_shift.num_elements() == 0 || (bias != kNoValue && old == nullptr)) {
    return kNoValue;
  }
  const auto [shifted, is_new] = biases_.try_emplace({layer.weight, bias}, kNoValue);
  if (is_new) {
    const std::span<const float> shift = rounding->bias_shift.values<float>();
    std::vector<float> values(shift.begin(), shift.end());
    if (old != nullptr) {
      const Tensor exact = old->Contiguous();
      std::ranges::transform(values, exact.values<float>(), values.begin(), std::plus<>());
    }
    const std::string name = old == nullptr ? layer.name + ".bias" : from_.value(bias).name;
    shifted->second =
        to_.AddInitializer(name + "_corrected", Tensor::FromValues<float>(rounding->bias_shift.shape(), values));
  }
  return shifted->second;
}

const LinearRounding* Int8Weights::FindRounding(ValueId weight) const {
  if (rounding_ == nullptr) {
    return nullptr;
  }
  const auto found = rounding_->linears.find(weight);
  return found == rounding_->linears.end() ? nullptr : &found->second;
}

}  // namespace laconic::passes
