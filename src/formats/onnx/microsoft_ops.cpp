// Definitions: docs/ContribOperators.md of ONNX Runtime.
#include "formats/onnx/microsoft_ops.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "graph/model_io.h"
#include "graph/ops.h"
#include "laconic/error.h"

namespace laconic::onnx_file {
namespace {

constexpr float kEpsilon = 1e-12F;  // of the layer normalizations that leave it out
constexpr float kFiltered = -1e4F;  // added to a score, leaves no weight: attention's default

constexpr std::size_t kNoInput = ~std::size_t{0};

void ExpectAbsent(NodeImport* node, std::initializer_list<std::pair<std::size_t, const char*>> inputs) {
  for (const auto& [input, what] : inputs) {
    if (node->Has(input)) Fail(ErrorCode::kUnsupported, "input ", input, ", ", what);
  }
}

void ExpectOneOutput(NodeImport* node) {
  for (std::size_t i = 1; i < node->num_outputs(); ++i) {
    if (node->HasOutput(i)) Fail(ErrorCode::kUnsupported, "output ", i);
  }
}

// Casts of integers to integers off: ids and masks, which the optimizer casts to s32, fit every type.
ValueId Uncast(NodeImport* node, ValueId value) {
  const auto is_integer = [&](ValueId id) {
    const DType dtype = node->TypeOf(id).dtype;
    return dtype == DType::kS32 || dtype == DType::kS64;
  };
  const Node* cast = node->Producer(value);
  while (cast != nullptr && cast->op == "Cast" && is_integer(value) && is_integer(cast->inputs[0])) {
    value = cast->inputs[0];
    cast = node->Producer(value);
  }
  return value;
}

ValueId PlusIfGiven(NodeImport* node, ValueId x, std::size_t input) {
  return node->Has(input) ? node->Add("Add", {x, node->Input(input)}) : x;
}

// input, skip, gamma, beta?, bias? -> normalized, -, -, the sum that was normalized?
void SkipLayerNormalization(NodeImport* node) {
  const Attributes attributes = {{"epsilon", node->TakeFloat("epsilon", kEpsilon)}};
  node->CheckAllTaken();
  if (node->HasOutput(1) || node->HasOutput(2)) {
    Fail(ErrorCode::kUnsupported, "outputs 1 and 2, mean and deviation");
  }
  const ValueId sum = node->Add("Add", {PlusIfGiven(node, node->Needed(0), 4), node->Needed(1)});
  node->Output(0, "LayerNormalization", {sum, node->Input(2), node->Input(3)}, attributes);
  node->Output(3, "Identity", {sum});
}

// What the two embedding operators share: ids, types?, words, positions, table of types?, gamma, beta, mask? ->
// normalized, length of each text?, the sum that was normalized?
// `places` are position ids or kNoValue; `table(i)` is input i.
template <typename Table>
void AddEmbeddings(NodeImport* node, ValueId places, Table&& table) {
  const Attributes attributes = {{"epsilon", node->TakeFloat("epsilon", kEpsilon)}};
  node->TakeInt("mask_index_type", 1);  // says what output 1 is to those who do not look
  node->CheckAllTaken();
  const ValueId ids = Uncast(node, node->Needed(0));
  places = places == kNoValue ? node->Add("laconic.Positions", {ids}) : Uncast(node, places);
  ValueId sum = node->Add("Add", {node->Add("Gather", {table(2), ids}), node->Add("Gather", {table(3), places})});
  if (node->Has(1)) {
    sum = node->Add("Add", {sum, node->Add("Gather", {table(4), Uncast(node, node->Input(1))})});
  }
  node->Output(0, "LayerNormalization", {sum, table(5), table(6)}, attributes);
  if (node->Has(7)) {
    node->Output(1, "ReduceSum", {node->Input(7), node->Integers({1})}, {{"keepdims", std::int64_t{0}}});
  }
  node->Output(2, "Identity", {sum});
}

// …, position ids?
void EmbedLayerNormalization(NodeImport* node) {
  AddEmbeddings(node, node->Input(8), [&](std::size_t i) { return node->Input(i); });
}

// …, five scales, five zero points; codes in the five tables' places
void QEmbedLayerNormalization(NodeImport* node) {
  AddEmbeddings(node, kNoValue, [&](std::size_t i) {
    const std::size_t scale = i + 6;
    return node->Add("DequantizeLinear", {node->Input(i), node->ScalarOf(scale), node->ScalarOf(scale + 5)});
  });
}

// Columns from `begin` to `end` of the last axis.
ValueId Columns(NodeImport* node, ValueId x, std::int64_t begin, std::int64_t end) {
  return node->Add("Slice", {x, node->Integers({begin}), node->Integers({end}), node->Integers({-1})});
}

// The input attention_mask, of which `mask` [B, S] is a Cast; kNoValue for another value, which may leave a text
// without a key, where the filter's value is added to all scores and so does nothing.
ValueId MaskBehind(NodeImport* node, ValueId mask) {
  const ValueId seen = Uncast(node, mask);
  return node->Producer(seen) == nullptr && node->NameOf(seen) == kAttentionMask ? seen : kNoValue;
}

// The mask [B, S] that says which keys are seen; kNoValue if `mask` is no such thing. Lengths [B] that are a mask's sum
// are what the optimizer puts in place of a mask, trusting that padding comes last; we take the mask again.
ValueId KeysSeen(NodeImport* node, ValueId mask) {
  const int rank = node->RankOf(mask);
  const Node* sum = rank == 1 ? node->Producer(mask) : nullptr;
  if (rank == 2) {
    return MaskBehind(node, mask);
  }
  if (sum == nullptr || sum->op != "ReduceSum" || sum->inputs.size() != 2 || node->RankOf(sum->inputs[0]) != 2) {
    return kNoValue;
  }
  const Tensor* axes = node->ConstantOf(sum->inputs[1]);
  const bool along_text = axes != nullptr && axes->dtype() == DType::kS64 && axes->num_elements() == 1 &&
                          (axes->values<std::int64_t>()[0] == 1 || axes->values<std::int64_t>()[0] == -1);
  return along_text ? MaskBehind(node, sum->inputs[0]) : kNoValue;
}

// bool, to be broadcast to [B, heads, Q, K]. A mask is [B, K], [B, Q, K] or lengths [B].
ValueId SeenMask(NodeImport* node, ValueId mask, ValueId keys) {
  const auto unsqueeze = [&](ValueId x, std::vector<std::int64_t> axes) {
    return node->Add("Unsqueeze", {x, node->Integers(std::move(axes))});
  };
  const int rank = node->RankOf(mask);
  if (rank == 2 || rank == 3) {
    const ValueId seen = node->Add("Cast", {mask}, {{"to", std::string("bool")}});
    return unsqueeze(seen, rank == 2 ? std::vector<std::int64_t>{1, 2} : std::vector<std::int64_t>{1});
  }
  if (rank != 1) {
    Fail(ErrorCode::kUnsupported, "a mask of ", rank < 0 ? "unknown" : std::to_string(rank), " dimensions");
  }
  const auto number = [&](std::int64_t value) {
    return node->AddConstant("constant", Tensor::FromValues<std::int64_t>({}, std::array{value}));
  };
  const ValueId length =
      node->Add("Squeeze", {node->Add("Shape", {keys}, {{"start", std::int64_t{1}}, {"end", std::int64_t{2}}})});
  const ValueId places = node->Add("Range", {number(0), length, number(1)});
  const ValueId lengths = node->Add("Cast", {mask}, {{"to", std::string("s64")}});
  return node->Add("Less", {places, unsqueeze(lengths, {1, 2, 3})});
}

// What the two attention operators share.
struct AttentionParts {
  std::vector<ValueId> qkv;  // each [B, S, heads * its width]
  std::int64_t width = 0;    // of the query, all heads together; 0 if it is not known
  std::size_t mask = 0;      // numbers of inputs
  std::size_t bias = 0;      // [B or 1, heads or 1, Q, K], added to the scores
};

void AddAttention(NodeImport* node, const AttentionParts& parts) {
  const std::int64_t heads = node->TakeInt("num_heads", 0);
  node->Expect("unidirectional", 0);
  const float filter = node->TakeFloat("mask_filter_value", kFiltered);
  float scale = node->TakeFloat("scale", 0);
  if (heads < 1 || parts.width % heads != 0) {
    Fail(ErrorCode::kInvalidFile, heads, " heads do not divide a query of width ", parts.width);
  }
  if (scale == 0 && parts.width > 0) {
    scale = 1 / std::sqrt(static_cast<float>(parts.width / heads));
  }
  ExpectOneOutput(node);
  const bool has_mask = node->Has(parts.mask);
  const ValueId seen = has_mask && filter <= kFiltered ? KeysSeen(node, node->Input(parts.mask)) : kNoValue;
  if (!node->Has(parts.bias) && (!has_mask || seen != kNoValue)) {
    std::vector<ValueId> inputs = parts.qkv;
    if (has_mask) inputs.push_back(node->Add("laconic.KeyMask", {seen}));
    node->Result("Attention", std::move(inputs), {{"q_num_heads", heads}, {"kv_num_heads", heads}, {"scale", scale}});
    return;
  }
  if (scale == 0) {
    Fail(ErrorCode::kUnsupported, "a query of unknown width without the attribute 'scale'");
  }
  ValueId mask = node->Input(parts.bias);
  if (has_mask) {
    const ValueId seen_mask = SeenMask(node, node->Input(parts.mask), parts.qkv[1]);
    const ValueId filtered = node->Add("Where", {seen_mask, node->Scalar(0), node->Scalar(filter)});
    mask = mask == kNoValue ? filtered : node->Add("Add", {filtered, mask});
  }
  AttentionOfMatMuls(node, parts.qkv, heads, scale, mask);
}

// Query, key and value side by side in `packed`, the product of an input and the weights, input 1.
void AddPackedAttention(NodeImport* node, ValueId packed, std::size_t mask, std::size_t bias) {
  node->Expect("do_rotary", 0);
  node->Expect("past_present_share_buffer", 0);
  node->TakeInt("rotary_embedding_dim", 0);
  std::vector<std::int64_t> widths = node->TakeInts("qkv_hidden_sizes");
  const ValueType& weight = node->TypeOf(node->Needed(1));
  if (!weight.has_rank(2) || !weight.shape[1].is_fixed()) {
    Fail(ErrorCode::kUnsupported, "weights of type ", ToString(weight));
  }
  const std::int64_t width = weight.shape[1].size;
  if (widths.empty()) {
    widths = {width / 3, width / 3, width / 3};
  }
  if (widths.size() != 3 || widths[0] != widths[1] || widths[0] < 1 || widths[2] < 1 || widths[0] > width / 2 ||
      widths[2] != width - 2 * widths[0]) {
    Fail(ErrorCode::kInvalidFile, "the ", width,
         " columns of the weights do not split into a query's, a key's and a value's");
  }
  AttentionParts parts{{}, widths[0], mask, bias};
  std::int64_t begin = 0;
  for (const std::int64_t columns : widths) {
    parts.qkv.push_back(Columns(node, packed, begin, begin + columns));
    begin += columns;
  }
  AddAttention(node, parts);
}

// input, weights, bias?, mask?, past?, added to scores?, length of the past?
void Attention(NodeImport* node) {
  ExpectAbsent(node, {{4, "a past"}, {6, "a past's length"}});
  AddPackedAttention(node, node->Add("laconic.Linear", {node->Input(0), node->Input(1), node->Input(2)}), 3, 5);
}

// query, key, value, bias of all three?, mask?, added to scores?, past …?
void MultiHeadAttention(NodeImport* node) {
  ExpectAbsent(node, {{6, "a past"}, {7, "a past"}, {8, "a past's length"}, {9, "a cache"}});
  AttentionParts parts{{node->Needed(0), node->Needed(1), node->Needed(2)}, 0, 4, 5};
  const auto width = [&](ValueId value, std::size_t axis) -> std::int64_t {
    const ValueType& type = node->TypeOf(value);
    return type.has_rank(axis + 1) && type.shape[axis].is_fixed() ? type.shape[axis].size : 0;
  };
  for (const ValueId part : parts.qkv) {
    if (node->TypeOf(part).has_shape && !node->TypeOf(part).has_rank(3)) {
      Fail(ErrorCode::kUnsupported, "expected a query, key and value of 3 dimensions, got ",
           ToString(node->TypeOf(part)));
    }
  }
  const ValueId bias = node->Input(3);
  const std::int64_t columns = bias == kNoValue ? 0 : width(bias, 0);
  parts.width = width(parts.qkv[0], 2) == 0 ? columns / 3 : width(parts.qkv[0], 2);
  if (bias != kNoValue) {
    if (parts.width < 1 || parts.width > columns / 2) {
      Fail(ErrorCode::kUnsupported, "a bias of type ", ToString(node->TypeOf(bias)), " for a query of width ",
           parts.width);
    }
    const std::array<std::int64_t, 4> bounds = {0, parts.width, 2 * parts.width, columns};
    for (std::size_t i = 0; i < 3; ++i) {
      parts.qkv[i] = node->Add("Add", {parts.qkv[i], Columns(node, bias, bounds[i], bounds[i + 1])});
    }
  }
  AddAttention(node, parts);
}

void Gelu(NodeImport* node) { node->Result("Gelu", {node->Needed(0)}); }
void BiasGelu(NodeImport* node) { node->Result("Gelu", {node->Add("Add", {node->Input(0), node->Input(1)})}); }
void FastGelu(NodeImport* node) {
  node->Result("Gelu", {PlusIfGiven(node, node->Needed(0), 1)}, {{"approximate", std::string("tanh")}});
}

void FusedMatMul(NodeImport* node) {
  node->Expect("transBatchA", 0);
  node->Expect("transBatchB", 0);
  const float alpha = node->TakeFloat("alpha", 1);
  std::array<ValueId, 2> inputs = {node->Needed(0), node->Needed(1)};
  for (const auto& [side, name] : {std::pair(0U, "transA"), std::pair(1U, "transB")}) {
    if (node->TakeInt(name, 0) == 0) continue;
    const int rank = node->RankOf(inputs[side]);
    if (rank < 2) {
      Fail(ErrorCode::kUnsupported, "'", name, "' of ", rank < 0 ? "an unknown number of" : "less than 2",
           " dimensions");
    }
    std::vector<std::int64_t> perm(static_cast<std::size_t>(rank));
    std::iota(perm.begin(), perm.end(), 0);
    std::swap(perm.end()[-1], perm.end()[-2]);
    inputs[side] = node->Add("Transpose", {inputs[side]}, {{"perm", perm}});
  }
  if (alpha == 1) {
    node->Result("MatMul", {inputs[0], inputs[1]});
  } else {
    node->Result("Mul", {node->Add("MatMul", {inputs[0], inputs[1]}), node->Scalar(alpha)});
  }
}

// Gemm and an activation without parameters.
void FusedGemm(NodeImport* node) {
  const std::string activation = node->TakeString("activation", "");
  constexpr std::array<std::string_view, 5> kKnown = {"Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"};
  if (std::ranges::find(kKnown, activation) == kKnown.end()) {
    Fail(ErrorCode::kUnsupported, "activation '", activation, "'");
  }
  for (const char* unused : {"activation_alpha", "activation_beta", "activation_gamma"}) {
    node->TakeFloat(unused, 0);
  }
  const ValueId product = node->Add("Gemm", node->Inputs(), node->TakeAll());
  node->Result(activation, {product});
}

// Integers a·b -> real numbers, times both scales.
ValueId Scaled(NodeImport* node, ValueId product, ValueId scale_a, ValueId scale_b) {
  const ValueId real = node->Add("Cast", {product}, {{"to", std::string("f32")}});
  return node->Add("Mul", {real, node->Add("Mul", {scale_a, scale_b})});
}

// a, b, scale of a, scale of b, zero points?, bias?
void MatMulIntegerToFloat(NodeImport* node) {
  node->CheckAllTaken();
  const ValueId product =
      node->Add("MatMulInteger", {node->Input(0), node->Input(1), node->ScalarOf(4), node->ScalarOf(5)});
  node->ResultIs(PlusIfGiven(node, Scaled(node, product, node->ScalarOf(2), node->ScalarOf(3)), 6));
}

// a, codes of b, scale of b, zero point of b?, bias?
void DynamicQuantizeMatMul(NodeImport* node) {
  node->CheckAllTaken();
  const std::vector<ValueId> a = node->AddSeveral("DynamicQuantizeLinear", 3, {node->Input(0)});
  const ValueId product = node->Add("MatMulInteger", {a[0], node->Input(1), a[2], node->ScalarOf(3)});
  node->ResultIs(PlusIfGiven(node, Scaled(node, product, a[1], node->ScalarOf(2)), 4));
}

// codes of the input, codes of the weights, bias, scales of both, mask?, zero points of both?, past?
void QAttention(NodeImport* node) {
  ExpectAbsent(node, {{8, "a past"}});
  const ValueId product =
      node->Add("MatMulInteger", {node->Input(0), node->Input(1), node->ScalarOf(6), node->ScalarOf(7)});
  const ValueId real = Scaled(node, product, node->ScalarOf(3), node->ScalarOf(4));
  AddPackedAttention(node, node->Add("Add", {real, node->Input(2)}), 5, kNoInput);
}

// The real numbers behind input `first`, whose scale and zero point follow it.
ValueId Dequantized(NodeImport* node, std::size_t first) {
  return node->Add("DequantizeLinear", {node->Input(first), node->ScalarOf(first + 1), node->ScalarOf(first + 2)});
}

// `real` in codes of the scale at input `scale` and the zero point after it.
void Requantize(NodeImport* node, ValueId real, std::size_t scale) {
  node->Result("QuantizeLinear", {real, node->ScalarOf(scale), node->ScalarOf(scale + 1)});
}

// Input `input`, a zero point, as f32; 0 where it is absent.
ValueId ZeroPoint(NodeImport* node, std::size_t input) {
  return node->Has(input) ? node->Add("Cast", {node->ScalarOf(input)}, {{"to", std::string("f32")}}) : node->Scalar(0);
}

// Numbers in steps of a code, the zero point of input `zero_point` within -> the nearest codes of its type.
void RoundToCodes(NodeImport* node, ValueId steps, std::size_t zero_point) {
  const bool is_signed = node->Has(zero_point) && node->TypeOf(node->Input(zero_point)).dtype == DType::kS8;
  const ValueId zero =
      node->AddConstant("zero", Tensor::FromBytes(is_signed ? DType::kS8 : DType::kU8, {}, std::vector<std::byte>(1)));
  node->Result("QuantizeLinear", {steps, node->Scalar(1), zero});
}

// x * factor + rest, rounded once to f32, as fused multiply-adds are.
ValueId FusedMultiplyAdd(NodeImport* node, ValueId x, ValueId factor, ValueId rest) {
  const auto wide = [&](ValueId value) { return node->Add("Cast", {value}, {{"to", std::string("f64")}}); };
  const ValueId sum = node->Add("Add", {node->Add("Mul", {wide(x), wide(factor)}), wide(rest)});
  return node->Add("Cast", {sum}, {{"to", std::string("f32")}});
}

// Sums and products of codes are close to halves again and again, so that the last bit decides: in ONNX Runtime's order
// of operations (with FMA) each code is the same as there.
void QLinearAdd(NodeImport* node) {
  const ValueId ratio_a = node->Add("Div", {node->ScalarOf(1), node->ScalarOf(6)});
  const ValueId ratio_b = node->Add("Div", {node->ScalarOf(4), node->ScalarOf(6)});
  const ValueId offset =
      FusedMultiplyAdd(node, ZeroPoint(node, 2), ratio_a, node->Add("Mul", {ratio_b, ZeroPoint(node, 5)}));
  const ValueId rest = node->Add("Sub", {ZeroPoint(node, 7), offset});
  RoundToCodes(node,
               FusedMultiplyAdd(node, node->Needed(0), ratio_a, FusedMultiplyAdd(node, node->Needed(3), ratio_b, rest)),
               7);
}
void QLinearMul(NodeImport* node) {
  const auto codes = [&](std::size_t first) {  // less their zero point: whole numbers
    return node->Add("DequantizeLinear", {node->Needed(first), node->Scalar(1), node->ScalarOf(first + 2)});
  };
  const ValueId scale = node->Add("Div", {node->Add("Mul", {node->ScalarOf(1), node->ScalarOf(4)}), node->ScalarOf(6)});
  const ValueId product = node->Add("Mul", {node->Add("Mul", {codes(0), codes(3)}), scale});
  RoundToCodes(node, node->Add("Add", {product, ZeroPoint(node, 7)}), 7);
}

void QLinearSoftmax(NodeImport* node) {
  const std::int64_t axis = node->TakeInt("axis", -1);
  const std::int64_t opset = node->TakeInt("opset", 13);
  const ValueId x = Dequantized(node, 0);
  if (opset < 13 && axis != -1 && axis != node->RankOf(x) - 1) {
    Fail(ErrorCode::kUnsupported, "'axis': expected the last in opset ", opset, ", got ", axis);
  }
  Requantize(node, node->Add("Softmax", {x}, {{"axis", axis}}), 3);
}

// a, scale, zero point, b, scale, zero point, bias in s32?, scale and zero point of codes, or real numbers
void QGemm(NodeImport* node) {
  node->Expect("transA", 0);
  const bool is_transposed = node->TakeInt("transB", 0) != 0;
  const float alpha = node->TakeFloat("alpha", 1);
  if (alpha != 1) {
    Fail(ErrorCode::kUnsupported, "'alpha': expected 1, got ", alpha);
  }
  const ValueId scale_a = node->ScalarOf(1);
  const ValueId scale_b = node->ScalarOf(4);
  const ValueId codes = node->Needed(3);
  const ValueId matrix =
      is_transposed ? node->Add("Transpose", {codes}, {{"perm", std::vector<std::int64_t>{1, 0}}}) : codes;
  std::vector<ValueId> inputs = {Dequantized(node, 0),
                                 node->Add("DequantizeLinear", {matrix, scale_b, node->ScalarOf(5)})};
  if (node->Has(6)) {
    const ValueId scale = node->Add("Mul", {scale_a, scale_b});
    inputs.push_back(node->Add("DequantizeLinear", {node->Input(6), scale}, {{"axis", std::int64_t{0}}}));
  }
  if (!node->Has(7)) {
    node->Result("laconic.Linear", std::move(inputs));
    return;
  }
  Requantize(node, node->Add("laconic.Linear", std::move(inputs)), 7);
}

}  // namespace

bool ImportMicrosoftOp(NodeImport* node) {
  static const std::map<std::string_view, void (*)(NodeImport*)> imports = {
      {"Attention", Attention},
      {"BiasGelu", BiasGelu},
      {"DynamicQuantizeMatMul", DynamicQuantizeMatMul},
      {"EmbedLayerNormalization", EmbedLayerNormalization},
      {"FastGelu", FastGelu},
      {"FusedGemm", FusedGemm},
      {"FusedMatMul", FusedMatMul},
      {"Gelu", Gelu},
      {"MatMulIntegerToFloat", MatMulIntegerToFloat},
      {"MultiHeadAttention", MultiHeadAttention},
      {"QAttention", QAttention},
      {"QEmbedLayerNormalization", QEmbedLayerNormalization},
      {"QGemm", QGemm},
      {"QLinearAdd", QLinearAdd},
      {"QLinearMul", QLinearMul},
      {"QLinearSoftmax", QLinearSoftmax},
      {"SkipLayerNormalization", SkipLayerNormalization},
  };
  constexpr std::string_view kDomain = "com.microsoft.";
  const std::string_view op = node->node().op;
  const auto found = op.starts_with(kDomain) ? imports.find(op.substr(kDomain.size())) : imports.end();
  if (found == imports.end()) {
    return false;
  }
  found->second(node);
  return true;
}

}  // namespace laconic::onnx_file
