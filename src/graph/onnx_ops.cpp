// ONNX's operators that a canonical model does not have: what a file may hold until the fusion passes have been over
// it, and what stays where they know no better. Meaning: the newest version's (opset 23); the reader upgrades older
// forms.
#include <algorithm>

#include "graph/infer.h"
#include "graph/ops.h"

namespace laconic {
namespace {

using namespace infer;  // NOLINT(google-build-using-namespace): the checks that every function below is made of

constexpr std::int64_t kNo = 0;
constexpr std::int64_t kYes = 1;

ValueType Same(Inputs in, const Attributes&, int) { return *in[0]; }
ValueType SameShape(Inputs in, DType dtype) { return {dtype, in[0]->shape, in[0]->has_shape}; }
ValueType TestEach(Inputs in, const Attributes&, int) { return SameShape(in, DType::kBool); }

ValueType Elementwise(Inputs in, const Attributes&, int) {
  for (const ValueType* type : in) {
    ExpectDType(*type, in[0]->dtype, "input");
  }
  return Broadcast(in);
}

ValueType Compare(Inputs in, const Attributes& attributes, int output) {
  ValueType type = Elementwise(in, attributes, output);
  type.dtype = DType::kBool;
  return type;
}

ValueType Slope(Inputs in, const Attributes&, int) {
  ExpectDType(*in[1], in[0]->dtype, "slope");
  return *in[0];
}

ValueType RmsNormalization(Inputs in, const Attributes&, int) {
  ExpectDType(*in[1], in[0]->dtype, "scale");
  return *in[0];
}

ValueType Power(Inputs in, const Attributes&, int) { return Broadcast(in); }

ValueType Select(Inputs in, const Attributes&, int) {
  ExpectDType(*in[0], DType::kBool, "condition");
  ExpectDType(*in[2], in[1]->dtype, "input 2");
  ValueType type = Broadcast(in);
  type.dtype = in[1]->dtype;
  return type;
}

// Element type of the first input, a shape that depends on more than shapes.
ValueType First(Inputs in, const Attributes&, int) { return ValueType::Unshaped(in[0]->dtype); }

ValueType Third(Inputs in, const Attributes&, int) { return ValueType::Unshaped(in[2]->dtype); }

template <DType dtype>
ValueType Typed(Inputs, const Attributes&, int) {
  return ValueType::Unshaped(dtype);
}

ValueType Joined(Inputs in, const Attributes& attributes, int) {
  ValueType out = *in[0];
  for (const ValueType* type : in) {
    ExpectDType(*type, out.dtype, "input");
    if (!type->has_shape) {
      return ValueType::Unshaped(out.dtype);
    }
    ExpectRank(*type, out.shape.size(), "input");
  }
  const std::size_t axis = Axis(attributes, 0, out.shape.size());
  for (const ValueType* type : in.subspan(1)) {
    Dim& joined = out.shape[axis];
    const Dim& more = type->shape[axis];
    if (!joined.is_fixed() || !more.is_fixed()) {
      joined = Dim(kUnknownDim);
    } else if (__builtin_add_overflow(joined.size, more.size, &joined.size)) {
      Fail(ErrorCode::kInvalidFile, "too many elements along axis ", axis);
    }
  }
  return out;
}

ValueType Permuted(Inputs in, const Attributes& attributes, int) {
  ValueType out = *in[0];
  const auto found = attributes.find("perm");
  if (found == attributes.end()) {
    std::ranges::reverse(out.shape);
    return out;
  }
  const auto& perm = std::get<std::vector<std::int64_t>>(found->second);
  std::vector<bool> seen(out.has_shape ? out.shape.size() : perm.size());
  for (std::size_t i = 0; i < perm.size(); ++i) {
    const bool fits = perm.size() == seen.size() && perm[i] >= 0 && perm[i] < static_cast<std::int64_t>(seen.size()) &&
                      !seen[static_cast<std::size_t>(perm[i])];
    if (!fits) {
      Fail(ErrorCode::kInvalidFile, "'perm' is no permutation of ", seen.size(), " axes");
    }
    seen[static_cast<std::size_t>(perm[i])] = true;
    if (out.has_shape) {
      out.shape[i] = in[0]->shape[static_cast<std::size_t>(perm[i])];
    }
  }
  return out;
}

ValueType MatrixProduct(Inputs in, DType dtype) {
  const std::vector<Dim>& a = in[0]->shape;
  const std::vector<Dim>& b = in[1]->shape;
  if (!in[0]->has_shape || !in[1]->has_shape || a.size() < 2 || b.size() < 2) {
    return ValueType::Unshaped(dtype);
  }
  ExpectSame(a.back(), b[b.size() - 2], "rows of the second matrix");
  const ValueType left{dtype, {a.begin(), a.end() - 2}};
  const ValueType right{dtype, {b.begin(), b.end() - 2}};
  const std::vector<const ValueType*> both = {&left, &right};
  ValueType out = Broadcast(both);
  out.shape.insert(out.shape.end(), {a[a.size() - 2], b.back()});
  return out;
}

ValueType MatMul(Inputs in, const Attributes&, int) {
  ExpectDType(*in[1], in[0]->dtype, "input 1");
  return MatrixProduct(in, in[0]->dtype);
}
ValueType MatMulInteger(Inputs in, const Attributes&, int) { return MatrixProduct(in, DType::kS32); }
ValueType QLinearMatMul(Inputs in, const Attributes&, int) {
  for (const std::size_t scale : {1U, 4U, 6U}) {
    ExpectDType(*in[scale], DType::kF32, "scale");
  }
  const std::vector<const ValueType*> matrices = {in[0], in[3]};
  return MatrixProduct(matrices, in[7]->dtype);
}

ValueType Gemm(Inputs in, const Attributes& attributes, int) {
  for (std::size_t i = 1; i < in.size(); ++i) {
    if (in[i] != nullptr) {
      ExpectDType(*in[i], in[0]->dtype, i == 1 ? "B" : "C");
    }
  }
  ExpectRank(*in[0], 2, "A");
  ExpectRank(*in[1], 2, "B");
  if (!in[0]->has_shape || !in[1]->has_shape) {
    return ValueType::Unshaped(in[0]->dtype);
  }
  ValueType a = *in[0];
  ValueType b = *in[1];
  if (IntOr(attributes, "transA", 0) != 0) std::ranges::reverse(a.shape);
  if (IntOr(attributes, "transB", 0) != 0) std::ranges::reverse(b.shape);
  const std::vector<const ValueType*> both = {&a, &b};
  return MatrixProduct(both, in[0]->dtype);
}

ValueType DynamicQuantizeLinear(Inputs in, const Attributes&, int output) {
  ExpectDType(*in[0], DType::kF32, "input");
  return output == 0 ? SameShape(in, DType::kU8) : ValueType{output == 1 ? DType::kF32 : DType::kU8, {}};
}

ValueType QuantizeLinear(Inputs in, const Attributes& attributes, int) {
  ExpectDType(*in[1], DType::kF32, "scale");
  const auto named = attributes.find("output_dtype");
  const DType dtype = named == attributes.end() ? DType::kU8 : ParseDType(std::get<std::string>(named->second));
  return SameShape(in, in.size() > 2 && in[2] != nullptr ? in[2]->dtype : dtype);
}

ValueType BatchNormalization(Inputs in, const Attributes&, int output) {
  return output == 0 ? *in[0] : *in[2 + static_cast<std::size_t>(output)];
}

ValueType ShapeOf(Inputs in, const Attributes& attributes, int) {
  const bool whole = !attributes.contains("start") && !attributes.contains("end");
  const bool known = whole && in[0]->has_shape;
  return {DType::kS64, {known ? Dim(static_cast<std::int64_t>(in[0]->shape.size())) : Dim(kUnknownDim)}};
}

ValueType SizeOf(Inputs, const Attributes&, int) { return {DType::kS64, {}}; }

ValueType TopK(Inputs in, const Attributes&, int output) {
  return ValueType::Unshaped(output == 0 ? in[0]->dtype : DType::kS64);
}

std::vector<OpSchema> MakeOps() {
  const std::vector<AttributeSchema> reduce = {{"keepdims", kYes}, {"noop_with_empty_axes", kNo}};
  const std::vector<AttributeSchema> arg = {{"axis", std::int64_t{0}}, {"keepdims", kYes}, {"select_last_index", kNo}};
  const std::vector<AttributeSchema> moments = {{"epsilon", 1e-5F}, {"momentum", 0.9F}, {"training_mode", kNo}};
  std::vector<OpSchema> ops = {
      {"Concat", 1, kAnyNumber, {{"axis", std::int64_t{0}, true}}, Joined},
      {"BatchNormalization", 5, 5, moments, BatchNormalization, 3},
      {"CumSum", 2, 2, {{"exclusive", kNo}, {"reverse", kNo}}, Same},
      {"DynamicQuantizeLinear", 1, 1, {}, DynamicQuantizeLinear, 3},
      {"Expand", 2, 2, {}, First},
      {"Flatten", 1, 1, {{"axis", std::int64_t{1}}}, First},
      {"GatherElements", 2, 2, {{"axis", std::int64_t{0}}}, First},
      {"GatherND", 2, 2, {{"batch_dims", std::int64_t{0}}}, First},
      {"Gemm", 2, 3, {{"alpha", 1.0F}, {"beta", 1.0F}, {"transA", kNo}, {"transB", kNo}}, Gemm},
      {"IsInf", 1, 1, {{"detect_negative", kYes}, {"detect_positive", kYes}}, TestEach},
      {"LogSoftmax", 1, 1, {{"axis", std::int64_t{-1}}}, Same},
      {"MatMul", 2, 2, {}, MatMul},
      {"MatMulInteger", 2, 4, {}, MatMulInteger},
      {"Mod", 2, 2, {{"fmod", kNo}}, Elementwise},
      {"NonZero", 1, 1, {}, Typed<DType::kS64>},
      {"OneHot", 3, 3, {{"axis", std::int64_t{-1}}}, Third},
      {"Pad", 2, 4, {{"mode", std::string("constant")}}, First},
      {"Pow", 2, 2, {}, Power},
      {"QLinearMatMul", 8, 8, {}, QLinearMatMul},
      {"QuantizeLinear",
       2,
       3,
       {{"axis", std::int64_t{1}}, {"block_size", std::int64_t{0}}, {"output_dtype", std::string()}},
       QuantizeLinear},
      {"Range", 3, 3, {}, First},
      {"Reshape", 2, 2, {{"allowzero", kNo}}, First},
      {"RMSNormalization", 2, 2, {{"axis", std::int64_t{-1}}, {"epsilon", 1e-5F}}, RmsNormalization},
      {"ScatterElements", 3, 3, {{"axis", std::int64_t{0}}, {"reduction", std::string("none")}}, Same},
      {"ScatterND", 3, 3, {{"reduction", std::string("none")}}, Same},
      {"Shape", 1, 1, {{"start", std::int64_t{0}}, {"end", std::numeric_limits<std::int64_t>::max()}}, ShapeOf},
      {"Size", 1, 1, {}, SizeOf},
      {"Slice", 3, 5, {}, First},
      {"Softmax", 1, 1, {{"axis", std::int64_t{-1}}}, Same},
      {"Split", 1, 2, {{"axis", std::int64_t{0}}, {"num_outputs", std::int64_t{0}}}, First, kAnyNumber},
      {"Squeeze", 1, 2, {}, First},
      {"Tile", 2, 2, {}, First},
      {"TopK", 2, 2, {{"axis", std::int64_t{-1}}, {"largest", kYes}, {"sorted", kYes}}, TopK, 2},
      {"Transpose", 1, 1, {{"perm", std::vector<std::int64_t>()}}, Permuted},
      {"Trilu", 1, 2, {{"upper", kYes}}, Same},
      {"Unsqueeze", 2, 2, {}, First},
      {"Where", 3, 3, {}, Select},
      {"Clip", 1, 3, {}, Same},
      {"Celu", 1, 1, {{"alpha", 1.0F}}, Same},
      {"Elu", 1, 1, {{"alpha", 1.0F}}, Same},
      {"HardSigmoid", 1, 1, {{"alpha", 0.2F}, {"beta", 0.5F}}, Same},
      {"LeakyRelu", 1, 1, {{"alpha", 0.01F}}, Same},
      {"PRelu", 2, 2, {}, Slope},
      {"Selu", 1, 1, {{"alpha", 1.67326319217681884765625F}, {"gamma", 1.05070102214813232421875F}}, Same},
      {"Swish", 1, 1, {{"alpha", 1.0F}}, Same},
      {"ThresholdedRelu", 1, 1, {{"alpha", 1.0F}}, Same},
      {"ArgMax", 1, 1, arg, Typed<DType::kS64>},
      {"ArgMin", 1, 1, arg, Typed<DType::kS64>},
  };
  for (const char* op :
       {"Abs",   "Acos",    "Acosh", "Asin",      "Asinh",    "Atan",     "Atanh",    "Ceil", "Cos", "Cosh",
        "Erf",   "Exp",     "Floor", "HardSwish", "Identity", "Log",      "Mish",     "Neg",  "Not", "Reciprocal",
        "Round", "Sigmoid", "Sign",  "Sin",       "Sinh",     "Softplus", "Softsign", "Sqrt", "Tan"}) {
    ops.push_back({op, 1, 1, {}, Same});
  }
  ops.push_back({"IsNaN", 1, 1, {}, TestEach});
  for (const char* op : {"And", "Div", "Mul", "Or", "Sub", "Xor"}) {
    ops.push_back({op, 2, 2, {}, Elementwise});
  }
  for (const char* op : {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}) {
    ops.push_back({op, 2, 2, {}, Compare});
  }
  for (const char* op : {"Max", "Mean", "Min", "Sum"}) {
    ops.push_back({op, 1, kAnyNumber, {}, Elementwise});
  }
  for (const char* op : {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
                         "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"}) {
    ops.push_back({op, 1, 2, reduce, First});
  }
  return ops;
}

}  // namespace

const std::vector<OpSchema>& GeneralOnnxOps() {
  static const std::vector<OpSchema> ops = MakeOps();
  return ops;
}

}  // namespace laconic
