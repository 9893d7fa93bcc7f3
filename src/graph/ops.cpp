#include "graph/ops.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "graph/infer.h"
#include "laconic/error.h"

namespace laconic {
namespace {

using namespace infer;  // NOLINT(google-build-using-namespace): the checks that every function below is made of

ValueType InferSame(Inputs in, const Attributes&, int) {
  ExpectDType(*in[0], DType::kF32, "input");
  return *in[0];
}

ValueType InferAdd(Inputs in, const Attributes&, int) {
  ExpectDType(*in[1], in[0]->dtype, "input 1");
  return Broadcast(in);
}

ValueType InferGather(Inputs in, const Attributes& attributes, int) {
  ExpectInteger(*in[1], "indices");
  if (!in[0]->has_shape || !in[1]->has_shape) {
    return ValueType::Unshaped(in[0]->dtype);
  }
  const std::size_t axis = Axis(attributes, 0, in[0]->shape.size());
  ValueType out{in[0]->dtype, {}};
  out.shape.assign(in[0]->shape.begin(), in[0]->shape.begin() + static_cast<std::ptrdiff_t>(axis));
  out.shape.insert(out.shape.end(), in[1]->shape.begin(), in[1]->shape.end());
  out.shape.insert(out.shape.end(), in[0]->shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, in[0]->shape.end());
  return out;
}

ValueType InferLayerNormalization(Inputs in, const Attributes& attributes, int output) {
  ExpectDType(*in[0], DType::kF32, "input");
  for (std::size_t i = 1; i < in.size(); ++i) {
    if (in[i] != nullptr) {
      ExpectDType(*in[i], DType::kF32, "scale or bias");
    }
  }
  if (!in[0]->has_shape) {
    return *in[0];
  }
  const std::size_t axis = Axis(attributes, -1, in[0]->shape.size());
  if (output > 0) {  // mean, inverse standard deviation
    ValueType reduced = *in[0];
    std::fill(reduced.shape.begin() + static_cast<std::ptrdiff_t>(axis), reduced.shape.end(), Dim(1));
    return reduced;
  }
  if (axis == in[0]->shape.size() - 1) {
    for (std::size_t i = 1; i < in.size(); ++i) {
      if (in[i] != nullptr && in[i]->has_shape) {
        ExpectRank(*in[i], 1, "scale or bias");
        ExpectSame(in[0]->shape.back(), in[i]->shape[0], "scale or bias");
      }
    }
  }
  return *in[0];
}

ValueType InferLinear(Inputs in, const Attributes&, int) {
  ExpectDType(*in[0], DType::kF32, "input");
  ExpectDType(*in[1], DType::kF32, "weight");
  ExpectRank(*in[1], 2, "weight");
  if (in.size() > 2 && in[2] != nullptr) {
    ExpectDType(*in[2], DType::kF32, "bias");
    ExpectRank(*in[2], 1, "bias");
    if (in[1]->has_shape && in[2]->has_shape) {
      ExpectSame(in[1]->shape[1], in[2]->shape[0], "bias");
    }
  }
  if (!in[0]->has_shape || !in[1]->has_shape) {
    return ValueType::Unshaped(DType::kF32);
  }
  if (in[0]->shape.empty()) {
    Fail(ErrorCode::kInvalidFile, "input: expected at least 1 dimension, got ", ToString(*in[0]));
  }
  ExpectSame(in[0]->shape.back(), in[1]->shape[0], "weight's rows");
  ValueType out = *in[0];
  out.shape.back() = in[1]->shape[1];
  return out;
}

// Of query, key, value and what is past, but not of the mask and the lengths.
void ExpectOneType(Inputs in) {
  for (const std::size_t i : {0U, 1U, 2U, 4U, 5U}) {
    if (i < in.size() && in[i] != nullptr) {
      ExpectDType(*in[i], in[0]->dtype, i < 3 ? "query, key or value" : "past key or value");
    }
  }
}

// Query, key and value are [B, S, heads * width] or [B, heads, S, width].
ValueType InferAttention(Inputs in, const Attributes& attributes, int output) {
  ExpectOneType(in);
  for (std::size_t i = 0; i < 3; ++i) {
    if (in[i]->has_shape && !in[i]->has_rank(3) && !in[i]->has_rank(4)) {
      Fail(ErrorCode::kInvalidFile, "query, key or value: expected 3 or 4 dimensions, got ", ToString(*in[i]));
    }
    if (!in[i]->has_rank(3) || output > 0) {
      return ValueType::Unshaped(in[0]->dtype);
    }
  }
  const std::int64_t q_heads = IntOr(attributes, "q_num_heads", 0);
  const std::int64_t kv_heads = IntOr(attributes, "kv_num_heads", 0);
  for (std::size_t i = 0; i < 3; ++i) {
    ExpectSame(in[0]->shape[0], in[i]->shape[0], "batch of query, key or value");
    ExpectSame(in[1]->shape[1], in[i == 0 ? 1 : i]->shape[1], "length of key or value");
    const Dim& width = in[i]->shape[2];
    const std::int64_t heads = i == 0 ? q_heads : kv_heads;
    if (!width.is_fixed() || heads <= 0 || width.size % heads != 0) {
      Fail(ErrorCode::kInvalidFile, "expected a width that ", heads, " heads divide, got ", ToString(*in[i]));
    }
  }
  if (in.size() > 3 && in[3] != nullptr && in[3]->dtype != DType::kBool) {
    ExpectDType(*in[3], in[0]->dtype, "mask");
  }
  ValueType out = *in[0];
  if (__builtin_mul_overflow(in[2]->shape[2].size / kv_heads, q_heads, &out.shape[2].size)) {
    Fail(ErrorCode::kInvalidFile, "too many elements in ", q_heads, " heads of ", ToString(*in[2]));
  }
  return out;
}

// Query [B, Q, heads * width], key and value [B, S, heads * width], mask of the keys bool [B, 1, 1, S].
ValueType InferInt8Attention(Inputs in, const Attributes& attributes, int) {
  const std::int64_t heads = std::get<std::int64_t>(attributes.at("num_heads"));
  const float scale = std::get<float>(attributes.at("scale"));
  if (heads < 1) {
    Fail(ErrorCode::kInvalidFile, "'num_heads': expected at least 1, got ", heads);
  }
  if (!(scale > 0) || !std::isfinite(scale)) {
    Fail(ErrorCode::kInvalidFile, "'scale': expected a finite number above 0, got ", scale);
  }
  constexpr std::array kNames = {"query", "key", "value"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    ExpectDType(*in[i], DType::kF32, kNames[i]);
    ExpectRank(*in[i], 3, kNames[i]);
  }
  const bool has_mask = in.size() > 3 && in[3] != nullptr;
  if (has_mask) {
    ExpectDType(*in[3], DType::kBool, "mask");
    ExpectRank(*in[3], 4, "mask");
  }
  if (!std::ranges::all_of(in, [](const ValueType* type) { return type == nullptr || type->has_shape; })) {
    return ValueType::Unshaped(DType::kF32);
  }
  const std::vector<Dim>& query = in[0]->shape;
  const std::vector<Dim>& key = in[1]->shape;
  if (query[2].is_fixed() && (query[2].size < 1 || query[2].size % heads != 0)) {
    Fail(ErrorCode::kInvalidFile, "query: expected a width that ", heads, " heads divide, got ", ToString(*in[0]));
  }
  for (std::size_t i = 1; i < kNames.size(); ++i) {
    ExpectSame(query[0], in[i]->shape[0], std::string("batch of ") + kNames[i]);
    ExpectSame(key[1], in[i]->shape[1], std::string("length of ") + kNames[i]);
    ExpectSame(query[2], in[i]->shape[2], std::string("width of ") + kNames[i]);
  }
  const std::array<Dim, 4> mask = {query[0], Dim(1), Dim(1), key[1]};
  for (std::size_t i = 0; has_mask && i < mask.size(); ++i) {
    const bool is_one = i == 1 || i == 2;
    // Files have names of their own for the sizes of a mask.
    if (is_one || (mask[i].is_fixed() && in[3]->shape[i].is_fixed())) {
      ExpectSame(mask[i], in[3]->shape[i], "mask, dimension " + std::to_string(i));
    }
  }
  return *in[0];
}

ValueType InferCast(Inputs in, const Attributes& attributes, int) {
  return {ParseDType(std::get<std::string>(attributes.at("to"))), in[0]->shape, in[0]->has_shape};
}

// Blocks of `block` neighbours along the axis share a scale; the last may be shorter.
void ExpectBlockScales(const ValueType& codes, const ValueType& scale, std::size_t axis, std::int64_t block) {
  if (block < 1) {
    Fail(ErrorCode::kInvalidFile, "block_size: expected at least 1, got ", block);
  }
  ExpectRank(scale, codes.shape.size(), "scale");
  for (std::size_t i = 0; i < codes.shape.size(); ++i) {
    const Dim& size = codes.shape[i];
    const bool is_cut = i == axis && size.is_fixed();
    ExpectSame(is_cut ? Dim(size.size / block + (size.size % block != 0 ? 1 : 0)) : size, scale.shape[i], "scale");
  }
}

ValueType InferDequantizeLinear(Inputs in, const Attributes& attributes, int) {
  if (in[0]->dtype != DType::kS8 && in[0]->dtype != DType::kU8 && in[0]->dtype != DType::kS16 &&
      in[0]->dtype != DType::kS32) {
    Fail(ErrorCode::kInvalidFile, "input: expected s8, u8, s16 or s32, got ", ToString(*in[0]));
  }
  ExpectDType(*in[1], DType::kF32, "scale");
  const std::int64_t block = IntOr(attributes, "block_size", 0);
  if (block != 0) {
    if (in[0]->has_shape && in[1]->has_shape) {
      ExpectBlockScales(*in[0], *in[1], Axis(attributes, 1, in[0]->shape.size()), block);
    }
  } else if (!in[1]->shape.empty() && in[0]->has_shape) {
    ExpectRank(*in[1], 1, "scale");
    ExpectSame(in[0]->shape[Axis(attributes, 1, in[0]->shape.size())], in[1]->shape[0], "scale");
  }
  if (in.size() > 2 && in[2] != nullptr) {
    ExpectDType(*in[2], in[0]->dtype, "zero point");
    if (in[1]->has_shape && in[2]->has_shape && in[2]->shape != in[1]->shape) {
      Fail(ErrorCode::kInvalidFile, "zero point: expected the scale's shape, got ", ToString(*in[2]));
    }
  }
  return {DType::kF32, in[0]->shape, in[0]->has_shape};
}

ValueType InferDynamicQuantize(Inputs in, const Attributes& attributes, int output) {
  const auto found = attributes.find(kGranularity);
  if (found != attributes.end() && std::get<std::string>(found->second) != kPerTensor) {
    Fail(ErrorCode::kInvalidFile, kGranularity, ": expected '", kPerToken, "' or '", kPerTensor, "', got '",
         std::get<std::string>(found->second), "'");
  }
  return InferSame(in, attributes, output);
}

ValueType InferPositions(Inputs in, const Attributes& attributes, int) {
  const std::int64_t offset = IntOr(attributes, "offset", 0);
  if (offset < 0) {
    Fail(ErrorCode::kInvalidFile, "'offset': expected 0 or more, got ", offset);
  }
  ExpectInteger(*in[0], "ids");
  ExpectRank(*in[0], 2, "ids");
  if (!in[0]->has_shape) {
    return ValueType::Unshaped(DType::kS64);
  }
  return {DType::kS64, {Dim(1), in[0]->shape[1]}};
}

ValueType InferKeyMask(Inputs in, const Attributes&, int) {
  ExpectInteger(*in[0], "mask");
  ExpectRank(*in[0], 2, "mask");
  if (!in[0]->has_shape) {
    return ValueType::Unshaped(DType::kBool);
  }
  return {DType::kBool, {in[0]->shape[0], Dim(1), Dim(1), in[0]->shape[1]}};
}

ValueType InferMeanPool(Inputs in, const Attributes&, int) {
  ExpectDType(*in[0], DType::kF32, "input");
  ExpectRank(*in[0], 3, "input");
  ExpectInteger(*in[1], "mask");
  ExpectRank(*in[1], 2, "mask");
  if (!in[0]->has_shape) {
    return ValueType::Unshaped(DType::kF32);
  }
  return {DType::kF32, {in[0]->shape[0], in[0]->shape[2]}};
}

const std::vector<OpSchema>& Schemas() {
  static const std::vector<OpSchema> schemas = {
      {"Add", 2, 2, {}, InferAdd},
      {"Attention",
       3,
       7,
       {{"q_num_heads", std::int64_t{0}},
        {"kv_num_heads", std::int64_t{0}},
        {"scale", 0.0F},  // 0: 1 / sqrt(width of a head)
        {"is_causal", std::int64_t{0}},
        {"softcap", 0.0F},
        {"softmax_precision", std::string()},  // at least this; f32 or more here
        {"qk_matmul_output_mode", std::int64_t{0}},
        {"left_window_size", std::int64_t{-1}},
        {"right_window_size", std::int64_t{-1}}},
       InferAttention,
       4},
      {"Cast", 1, 1, {{"to", std::string(), true}}, InferCast},
      {"DequantizeLinear", 2, 3, {{"axis", std::int64_t{1}}, {"block_size", std::int64_t{0}}}, InferDequantizeLinear},
      {"Gather", 2, 2, {{"axis", std::int64_t{0}}}, InferGather},
      {"Gelu", 1, 1, {{"approximate", std::string("none")}}, InferSame},
      {"LayerNormalization", 2, 3, {{"axis", std::int64_t{-1}}, {"epsilon", 1e-5F, false}}, InferLayerNormalization, 3},
      {"Relu", 1, 1, {}, InferSame},
      {"Tanh", 1, 1, {}, InferSame},
      {"laconic.DynamicQuantize", 1, 1, {{kGranularity, std::string(kPerToken)}}, InferDynamicQuantize},
      {"laconic.Int8Attention",
       3,
       4,
       {{"num_heads", std::int64_t{0}, true}, {"scale", 0.0F, true}},
       InferInt8Attention},
      {"laconic.KeyMask", 1, 1, {}, InferKeyMask},
      {"laconic.Linear", 2, 3, {}, InferLinear},
      {"laconic.MeanPool", 2, 2, {}, InferMeanPool},
      {"laconic.Positions", 1, 1, {{"offset", std::int64_t{0}}}, InferPositions},
  };
  return schemas;
}

}  // namespace

const OpSchema* FindOpSchema(std::string_view op) {
  for (const std::vector<OpSchema>* schemas : {&Schemas(), &GeneralOnnxOps()}) {
    const auto found = std::ranges::find(*schemas, op, &OpSchema::op);
    if (found != schemas->end()) {
      return &*found;
    }
  }
  return nullptr;
}

std::vector<std::string_view> OpNames() {
  std::vector<std::string_view> names;
  for (const std::vector<OpSchema>* schemas : {&Schemas(), &GeneralOnnxOps()}) {
    std::ranges::transform(*schemas, std::back_inserter(names), &OpSchema::op);
  }
  return names;
}

}  // namespace laconic
