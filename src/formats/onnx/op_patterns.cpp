#include "formats/onnx/op_patterns.h"

#include <limits>
#include <numbers>

#include "formats/onnx/op_versions.h"
#include "formats/onnx/proto_types.h"
#include "graph/ops.h"

namespace laconic::onnx_file {
namespace {

using Integers = std::vector<std::int64_t>;

Ref Cast(Pattern* p, Ref x, DType to) { return p->Node("Cast", {x}, {{"to", std::int64_t{ToProto(to)}}}); }

Ref Unsqueeze(Pattern* p, Ref x, Integers axes) {
  return p->Node("Unsqueeze", {x, p->Integers({axes.begin(), axes.end()})});
}

// ReduceMean, ReduceMin, ReduceMax over an axis, the last by default, which stays with size 1. Opset 18 made the axes
// an input.
Ref Reduce(Pattern* p, int opset, const char* op, Ref x, std::int64_t axis = -1) {
  const std::int64_t keep = 1;
  if (opset < 18) {
    return p->Node(op, {x}, {{"axes", Integers{axis}}, {"keepdims", keep}});
  }
  return p->Node(op, {x, p->Integers({axis})}, {{"keepdims", keep}});
}

// [B, S, heads * width] -> [B, heads, S, width] by `order` {0, 2, 1, 3}, or [B, heads, width, S] by {0, 2, 3, 1}
Ref SplitHeads(Pattern* p, Ref x, const char* num_heads, Integers order) {
  const Ref heads = p->Node("Reshape", {x, p->Integers({0, 0, Parameter{num_heads}, -1})});
  return p->Node("Transpose", {heads}, {{"perm", std::move(order)}});
}

// [B, heads, S, width] -> [B, S, heads * width]
Ref JoinHeads(Pattern* p, Ref x) {
  const Ref rows = p->Node("Transpose", {x}, {{"perm", Integers{0, 2, 1, 3}}});
  return p->Node("Reshape", {rows, p->Integers({0, 0, -1})});
}

Pattern Linear(bool has_bias) {
  Pattern p("laconic.Linear");
  const Ref x = p.Input();
  const Ref weight = p.ConstantInput(2);
  const Ref y = p.Node("MatMul", {x, weight});
  if (has_bias) {
    p.Node("Add", {y, p.ConstantInput(1)});
  }
  return p;
}

Pattern IntegerLinear(bool has_bias, bool has_zero_points) {
  Pattern p("laconic.Linear");
  const std::vector<Ref> rows = p.RowsInput();
  const std::vector<Ref> weight = p.CodesInput(1, has_zero_points);
  std::vector<Ref> factors = {rows[0], weight[0]};
  if (has_zero_points) {
    factors.insert(factors.end(), {kAbsent, weight[2]});
  }
  const Ref products = p.Node("MatMulInteger", factors);
  const Ref sums = p.Sums(weight[0], has_zero_points ? weight[2] : kAbsent);
  const Ref shift = p.Node("Mul", {Cast(&p, rows[2], DType::kS32), sums});
  const Ref real = Cast(&p, p.Node("Sub", {products, shift}), DType::kF32);
  const Ref y = p.Node("Mul", {p.Node("Mul", {real, rows[1]}), weight[1]});
  if (has_bias) {
    p.Node("Add", {y, p.ConstantInput(1)});
  }
  return p;
}

// On rows of one scale. The scales are multiplied first, as ONNX Runtime's own tools write it and its kernels want it.
Pattern ScalarLinear(bool has_bias, bool has_zero_points) {
  Pattern p("laconic.Linear");
  const std::vector<Ref> rows = p.ScalarRowsInput();
  const std::vector<Ref> weight = p.CodesInput(1, has_zero_points);
  std::vector<Ref> factors = {rows[0], weight[0], rows[2]};
  if (has_zero_points) {
    factors.push_back(weight[2]);
  }
  const Ref real = Cast(&p, p.Node("MatMulInteger", factors), DType::kF32);
  const Ref y = p.Node("Mul", {real, p.Node("Mul", {rows[1], weight[1]})});
  if (has_bias) {
    p.Node("Add", {y, p.ConstantInput(1)});
  }
  return p;
}

Pattern DynamicQuantizeTensor() {
  Pattern p("laconic.DynamicQuantize", {{std::string(kGranularity), std::string(kPerTensor)}});
  const std::vector<Ref> outputs = p.NodeWithOutputs("DynamicQuantizeLinear", {p.Input()}, 3);
  p.AlsoOutput({outputs[1], outputs[2]});
  return p;
}

Pattern DynamicQuantize(int opset) {
  Pattern p("laconic.DynamicQuantize");
  const Ref x = p.Input();
  const Ref zero = p.Scalar(0.0F);
  const Ref low = p.Node("Min", {Reduce(&p, opset, "ReduceMin", x), zero});
  const Ref high = p.Node("Max", {Reduce(&p, opset, "ReduceMax", x), zero});
  const Ref step = p.Node("Div", {p.Node("Sub", {high, low}), p.Scalar(255.0F)});
  const Ref scale = p.Node("Max", {step, p.Scalar(1e-12F)});
  const Ref zero_point = p.Node("Round", {p.Node("Div", {p.Node("Sub", {zero, low}), scale})});
  const Ref inv_scale = p.Node("Div", {p.Scalar(1.0F), scale});
  const Ref code = p.Node("Add", {p.Node("Round", {p.Node("Mul", {x, inv_scale})}), zero_point});
  Cast(&p, p.Node("Clip", {code, zero, p.Scalar(255.0F)}), DType::kU8);
  p.AlsoOutput({scale, zero_point});
  return p;
}

Pattern IntegerGather() {
  Pattern p("Gather");
  const std::vector<Ref> table = p.CodesInput(0);
  const Ref ids = p.Input();
  const Ref codes = Cast(&p, p.Node("Gather", {table[0], ids}), DType::kF32);
  p.Node("Mul", {codes, Unsqueeze(&p, p.Node("Gather", {table[1], ids}), {-1})});
  return p;
}

Pattern BlockGather() {
  Pattern p("Gather");
  const std::vector<Ref> table = p.BlocksInput();
  const Ref ids = p.Input(2);
  const Ref codes = Cast(&p, p.Node("Gather", {table[0], ids}), DType::kF32);
  const Ref blocks = p.Node("Reshape", {codes, p.Integers({0, 0, -1, Parameter{kBlockSize}})});
  const Ref scaled = p.Node("Mul", {blocks, Unsqueeze(&p, p.Node("Gather", {table[1], ids}), {-1})});
  p.Node("Reshape", {scaled, p.Integers({0, 0, -1})});
  return p;
}

Pattern LayerNormalization(int opset) {
  Pattern p("LayerNormalization");
  const Ref x = p.Input();
  const Ref gamma = p.Input();
  const Ref beta = p.Input();
  const Ref centred = p.Node("Sub", {x, Reduce(&p, opset, "ReduceMean", x)});
  const Ref variance = Reduce(&p, opset, "ReduceMean", p.Node("Pow", {centred, p.Scalar(2.0F)}));
  const Ref deviation = p.Node("Sqrt", {p.Node("Add", {variance, p.Scalar(Parameter{"epsilon"})})});
  p.Node("Add", {p.Node("Mul", {p.Node("Div", {centred, deviation}), gamma}), beta});
  return p;
}

// x · ½(1 + erf(x/√2))
Pattern Gelu() {
  Pattern p("Gelu");
  const Ref x = p.Input();
  const Ref erf = p.Node("Erf", {p.Node("Div", {x, p.Scalar(std::numbers::sqrt2_v<float>)})});
  const Ref twice = p.Node("Mul", {x, p.Node("Add", {erf, p.Scalar(1.0F)})});
  p.Node("Mul", {twice, p.Scalar(0.5F)});
  return p;
}

// x · ½(1 + tanh(√(2/π)(x + 0.044715 x³)))
Pattern TanhGelu() {
  constexpr float kSqrt2OverPi = 0.797884561F;
  Pattern p("Gelu", {{"approximate", std::string("tanh")}});
  const Ref x = p.Input();
  const Ref cube = p.Node("Mul", {p.Node("Mul", {x, x}), x});
  const Ref inner = p.Node("Add", {x, p.Node("Mul", {cube, p.Scalar(0.044715F)})});
  const Ref tanh = p.Node("Tanh", {p.Node("Mul", {inner, p.Scalar(kSqrt2OverPi)})});
  const Ref twice = p.Node("Mul", {x, p.Node("Add", {tanh, p.Scalar(1.0F)})});
  p.Node("Mul", {twice, p.Scalar(0.5F)});
  return p;
}

Pattern Attention(bool has_mask) {
  Pattern p("Attention");
  const Ref query = p.Input();
  const Ref key = p.Input();
  const Ref value = p.Input();
  const Ref q = SplitHeads(&p, query, "q_num_heads", {0, 2, 1, 3});
  const Ref k = SplitHeads(&p, key, "kv_num_heads", {0, 2, 3, 1});
  const Ref v = SplitHeads(&p, value, "kv_num_heads", {0, 2, 1, 3});
  p.RequireEqual("q_num_heads", "kv_num_heads");
  Ref scores = p.Node("Mul", {p.Node("MatMul", {q, k}), p.Scalar(Parameter{"scale"})});
  if (has_mask) {
    // The lowest finite number: -Inf would make NaN of a row that is masked throughout.
    const Ref lowest = p.Scalar(std::numeric_limits<float>::lowest());
    scores = p.Node("Add", {scores, p.Node("Where", {p.BoolInput(), p.Scalar(0.0F), lowest})});
  }
  const Ref weights = p.Node("Softmax", {scores}, {{"axis", std::int64_t{-1}}});
  JoinHeads(&p, p.Node("MatMul", {weights, v}));
  return p;
}

// Symmetric codes of vectors along an axis. As u8 with zero point 128, since on CPUs without VNNI products of u8 and s8
// saturate in other runtimes: these codes reach 255 and 127.
struct Vectors {
  Ref codes = kAbsent;
  Ref steps = kAbsent;
};

constexpr std::int64_t kCodeZero = 128;

Vectors QuantizeVectors(Pattern* p, int opset, Ref x, std::int64_t axis) {
  const Ref largest = Reduce(p, opset, "ReduceMax", p->Node("Abs", {x}), axis);
  const Ref steps = p->Node("Max", {p->Node("Div", {largest, p->Scalar(127.0F)}), p->Scalar(1e-12F)});
  const Ref inv_steps = p->Node("Div", {p->Scalar(1.0F), steps});
  const Ref codes = p->Node("Round", {p->Node("Mul", {x, inv_steps})});
  return {Cast(p, p->Node("Add", {codes, p->Scalar(float{kCodeZero})}), DType::kU8), steps};
}

Pattern Int8Attention(int opset, bool has_mask) {
  Pattern p("laconic.Int8Attention");
  const Ref query = p.Input();
  const Ref key = p.Input();
  const Ref value = p.Input();
  const Ref mask = has_mask ? p.BoolInput() : kAbsent;
  const Ref zero = p.Byte(kCodeZero);
  const Vectors q = QuantizeVectors(&p, opset, SplitHeads(&p, query, "num_heads", {0, 2, 1, 3}), -1);
  const Vectors k = QuantizeVectors(&p, opset, SplitHeads(&p, key, "num_heads", {0, 2, 3, 1}), -2);
  const Ref products = Cast(&p, p.Node("MatMulInteger", {q.codes, k.codes, zero, zero}), DType::kF32);
  const Ref q_factors = p.Node("Mul", {q.steps, p.Scalar(Parameter{"scale"})});
  Ref scores = p.Node("Mul", {p.Node("Mul", {products, q_factors}), k.steps});
  Ref values = SplitHeads(&p, value, "num_heads", {0, 2, 1, 3});
  if (has_mask) {
    // Of a text without a key all weights are alike then, and all values 0.
    scores = p.Node("Where", {mask, scores, p.Scalar(std::numeric_limits<float>::lowest())});
    const Ref rows = p.Node("Transpose", {mask}, {{"perm", Integers{0, 1, 3, 2}}});
    values = p.Node("Where", {rows, values, p.Scalar(0.0F)});
  }
  const Vectors v = QuantizeVectors(&p, opset, values, -2);
  const Ref shares = p.Node("Exp", {p.Node("Sub", {scores, Reduce(&p, opset, "ReduceMax", scores)})});
  const Ref weights = p.Node("Round", {p.Node("Mul", {shares, p.Scalar(255.0F)})});
  const Ref sums = p.Node("ReduceSum", {weights, p.Integers({-1})}, {{"keepdims", std::int64_t{1}}});
  const Ref inv_sums = p.Node("Div", {p.Scalar(1.0F), sums});
  const Ref weighed = p.Node("MatMulInteger", {Cast(&p, weights, DType::kU8), v.codes, kAbsent, zero});
  const Ref context = p.Node("Mul", {Cast(&p, weighed, DType::kF32), inv_sums});
  JoinHeads(&p, p.Node("Mul", {context, v.steps}));
  return p;
}

Pattern Positions(bool has_offset) {
  Pattern p("laconic.Positions");
  Ref end = p.Node("Gather", {p.Node("Shape", {p.Input()}), p.Integer(1)});
  const Ref begin = has_offset ? p.Integer(Parameter{"offset"}) : p.Integer(0);
  if (has_offset) {
    end = p.Node("Add", {end, begin});
  }
  Unsqueeze(&p, p.Node("Range", {begin, end, p.Integer(1)}), {0});
  return p;
}

Pattern KeyMask() {
  Pattern p("laconic.KeyMask");
  Unsqueeze(&p, Cast(&p, p.Input(), DType::kBool), {1, 2});
  return p;
}

Pattern MeanPool() {
  Pattern p("laconic.MeanPool");
  const Ref x = p.Input();
  const Ref mask = Unsqueeze(&p, Cast(&p, Cast(&p, p.Input(), DType::kBool), DType::kF32), {2});
  const Attributes drop = {{"keepdims", std::int64_t{0}}};
  const Ref sum = p.Node("ReduceSum", {p.Node("Mul", {x, mask}), p.Integers({1})}, drop);
  // At least 1, so that a text without any token gives zeros.
  const Ref count = p.Node("Max", {p.Node("ReduceSum", {mask, p.Integers({1})}, drop), p.Scalar(1.0F)});
  p.Node("Div", {sum, count});
  return p;
}

}  // namespace

std::vector<Pattern> MakePatterns(int opset) {
  std::vector<Pattern> patterns;
  for (const bool has_bias : {true, false}) {
    for (const bool has_zero_points : {true, false}) {
      patterns.push_back(IntegerLinear(has_bias, has_zero_points));
      patterns.push_back(ScalarLinear(has_bias, has_zero_points));
    }
  }
  for (Pattern pattern : {Linear(true), Linear(false), DynamicQuantize(opset), DynamicQuantizeTensor(), IntegerGather(),
                          BlockGather(), Attention(true), Attention(false), Int8Attention(opset, true),
                          Int8Attention(opset, false), Positions(false), Positions(true), KeyMask(), MeanPool()}) {
    patterns.push_back(std::move(pattern));
  }
  if (!IsPlainOp("LayerNormalization", opset)) {
    patterns.push_back(LayerNormalization(opset));
  }
  if (!IsPlainOp("Gelu", opset)) {
    patterns.push_back(Gelu());
    patterns.push_back(TanhGelu());
  }
  return patterns;
}

bool IsPlainOp(std::string_view op, int opset) {
  const std::optional<int> first = FirstOpset(op);
  return first && *first <= opset;
}

}  // namespace laconic::onnx_file
