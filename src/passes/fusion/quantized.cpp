// Integer arithmetic of already quantized files -> the quantization it stands for, as the canonical graph says it:
//   DynamicQuantizeLinear, MatMulInteger, Cast, Mul by both scales
//     -> laconic.Linear(laconic.DynamicQuantize {granularity = "tensor"}, DequantizeLinear(codes))
//   DequantizeLinear(Gather(codes, ids)) -> Gather(DequantizeLinear(codes), ids)
//   QLinearMatMul -> QuantizeLinear(laconic.Linear(DequantizeLinear(x), DequantizeLinear(codes))), in graphs that
//   become
//     canonical with it
// Integers are the same; the float steps after them come in the order of docs/numerics.md, which may differ from the
// file's in the last bits.
#include <algorithm>

#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"

namespace laconic::passes::fusion {
namespace {

// The codes [K, N] with one scale, or one a column, as an f32 matrix; kNoValue if they are no constants.
ValueId DequantizedMatrix(Draft* draft, ValueId codes, ValueId scale, ValueId zero_point) {
  const Tensor* tensor = draft->Constant(codes);
  const Tensor* scales = draft->Constant(scale);
  const Tensor* zeros = draft->Constant(zero_point);
  if (tensor == nullptr || tensor->shape().size() != 2 || scales == nullptr || scales->dtype() != DType::kF32 ||
      (zero_point != kNoValue && zeros == nullptr)) {
    return kNoValue;
  }
  const std::int64_t columns = tensor->shape()[1];
  const bool per_column = scales->num_elements() == columns && columns != 1;
  if (!per_column && scales->num_elements() != 1) return kNoValue;
  const Shape shape = per_column ? Shape{columns} : Shape{};
  const auto shaped = [&](ValueId value, const Tensor& from) {
    return from.shape() == shape ? value : draft->AddConstant(draft->name(value), from.Contiguous().Reshaped(shape));
  };
  std::vector<ValueId> inputs = {codes, shaped(scale, *scales)};
  if (zeros != nullptr) {
    if (SizeOf(zeros->dtype()) != 1) return kNoValue;
    const bool repeats = per_column && zeros->num_elements() == 1;
    if (!repeats && zeros->num_elements() != scales->num_elements()) return kNoValue;
    const Tensor full =
        repeats ? Tensor::FromBytes(zeros->dtype(), shape,
                                    std::vector<std::byte>(static_cast<std::size_t>(columns), zeros->data()[0]))
                : *zeros;
    inputs.push_back(shaped(zero_point, full));
  }
  return draft->AddNode("DequantizeLinear", draft->name(codes) + "_dequantized", std::move(inputs));
}

// Cast(MatMulInteger(codes of x, codes of w)) * (scale of x * scale of w), at the outer Mul.
bool FuseDynamic(Draft* draft, const Node& node) {
  for (const std::size_t side : {0U, 1U}) {
    const Node* cast = draft->Producer(node.inputs[side], "Cast");
    const Node* product = cast == nullptr ? nullptr : draft->Producer(cast->inputs[0], "MatMulInteger");
    const Node* scales = draft->Producer(node.inputs[1 - side], "Mul");
    const Node* quantize = product == nullptr ? nullptr : draft->Producer(product->inputs[0], "DynamicQuantizeLinear");
    if (scales == nullptr || quantize == nullptr || quantize->outputs.size() < 3 || product->inputs.size() < 3 ||
        product->inputs[2] != quantize->outputs[2]) {
      continue;
    }
    const ValueId weight_scale = OtherInput(*scales, quantize->outputs[1]);
    const ValueId zero_point = product->inputs.size() > 3 ? product->inputs[3] : kNoValue;
    const ValueId weight =
        weight_scale == kNoValue ? kNoValue : DequantizedMatrix(draft, product->inputs[1], weight_scale, zero_point);
    if (weight == kNoValue) continue;
    const ValueId x = draft->AddNode("laconic.DynamicQuantize", draft->name(quantize->inputs[0]) + "_quantized",
                                     {quantize->inputs[0]}, {{"granularity", std::string("tensor")}});
    draft->Rewrite(node.outputs[0], "laconic.Linear", {x, weight});
    return true;
  }
  return false;
}

bool FuseQLinear(Draft* draft, const Node& node) {
  const ValueId weight = DequantizedMatrix(draft, node.inputs[3], node.inputs[4], node.inputs[5]);
  const Facts& x = draft->facts(node.inputs[0]);
  if (weight == kNoValue || !x.has_shape || x.shape.size() < 2 || !draft->facts(node.inputs[1]).has_rank(0))
    return false;
  const ValueId value = node.outputs[0];
  const ValueId real = draft->AddNode("DequantizeLinear", draft->name(node.inputs[0]) + "_dequantized",
                                      {node.inputs[0], node.inputs[1], node.inputs[2]});
  const ValueId linear = draft->AddNode("laconic.Linear", draft->name(value) + "_real", {real, weight});
  draft->Rewrite(value, "QuantizeLinear", {linear, node.inputs[6], node.inputs[7]});
  return true;
}

// Rows taken from a table of codes and then scaled -> rows of the scaled table.
bool FuseCodesGather(Draft* draft, const Node& node) {
  const Node* gather = draft->Producer(node.inputs[0], "Gather");
  const Tensor* codes = gather == nullptr ? nullptr : draft->Constant(gather->inputs[0]);
  const bool has_one_scale = draft->facts(node.inputs[1]).has_rank(0) && draft->Constant(node.inputs[1]) != nullptr;
  if (codes == nullptr || codes->shape().size() != 2 || !has_one_scale || IntAttribute(*gather, "axis") != 0)
    return false;
  std::vector<ValueId> inputs = node.inputs;
  inputs[0] = gather->inputs[0];
  const ValueId index = gather->inputs[1];
  const std::string name = draft->name(gather->inputs[0]) + "_dequantized";
  const ValueId table = draft->AddNode("DequantizeLinear", name, std::move(inputs), node.attributes);
  draft->Rewrite(node.outputs[0], "Gather", {table, index});
  return true;
}

}  // namespace

bool FuseQuantized(Draft* draft) {
  return RewriteEach(draft, [&](const Node& node) {
    return (node.op == "Mul" && FuseDynamic(draft, node)) ||
           (node.op == "DequantizeLinear" && FuseCodesGather(draft, node));
  });
}

bool FuseQLinearMatMul(Draft* draft) {
  return RewriteEach(draft, [&](const Node& node) { return node.op == "QLinearMatMul" && FuseQLinear(draft, node); });
}

}  // namespace laconic::passes::fusion
