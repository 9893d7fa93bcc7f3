// ONNX's operators in older forms, or with parts that our graph says differently -> ours.
#include <algorithm>
#include <cmath>
#include <map>

#include "formats/onnx/node_import.h"
#include "formats/onnx/op_versions.h"
#include "formats/onnx/proto_types.h"
#include "laconic/error.h"

namespace laconic::onnx_file {
namespace {

using Integers = std::vector<std::int64_t>;

std::string NameOfType(std::int64_t number) { return std::string(ToString(FromProto(number))); }

void Cast(NodeImport* node) {
  if (!node->HasAttribute("to")) {
    Fail(ErrorCode::kInvalidFile, "Cast needs the integer attribute 'to'");
  }
  const std::string to = NameOfType(node->TakeInt("to", 0));
  node->TakeInt("saturate", 1);        // of 8-bit floats, as
  node->TakeString("round_mode", "");  // this
  node->Result("Cast", {node->Raw(0)}, {{"to", to}});
}

void CastLike(NodeImport* node) {
  node->TakeInt("saturate", 1);
  node->TakeString("round_mode", "");
  const DType to = node->TypeOf(node->NeededRaw(1)).dtype;
  node->Result("Cast", {node->Raw(0)}, {{"to", std::string(ToString(to))}});
}

// What it drops when a model is trained it keeps when the model runs.
void Dropout(NodeImport* node) {
  const Tensor* training = node->Constant(2);
  if (node->Has(2) && (training == nullptr || training->dtype() != DType::kBool || training->num_elements() != 1 ||
                       training->values<bool>()[0])) {
    Fail(ErrorCode::kUnsupported, "a model in training");
  }
  node->TakeFloat("ratio", 0.5F);
  node->TakeInt("seed", 0);
  node->CheckAllTaken();
  const ValueId x = node->Needed(0);
  if (node->HasOutput(1)) {  // what was kept: all
    const ValueId all = node->AddConstant("all", Tensor::FromValues<bool>({}, std::array{true}));
    node->Output(1, "Expand", {all, node->Add("Shape", {x})});
  }
  node->ResultIs(x);
}

// Before opset 13 it worked on a matrix: axes from `axis` on are one.
void OldSoftmax(NodeImport* node) {
  const std::string& op = node->node().op;
  const std::int64_t axis = node->TakeInt("axis", 1);
  const ValueId x = node->Needed(0);
  const int rank = node->RankOf(x);
  if (axis == -1 || (rank >= 0 && axis == rank - 1)) {
    node->Result(op, {x});
    return;
  }
  const ValueId matrix = node->Add("Flatten", {x}, {{"axis", axis}});
  const ValueId rows = node->Add(op, {matrix});
  node->Result("Reshape", {rows, node->Add("Shape", {x})});
}

void OldSplit(NodeImport* node) {
  const std::int64_t axis = node->TakeInt("axis", 0);
  Attributes attributes = {{"axis", axis}};
  const bool has_sizes = node->HasAttribute("split") || node->Has(1);
  if (!has_sizes) {  // as many equal parts as there are outputs
    attributes["num_outputs"] = static_cast<std::int64_t>(node->num_outputs());
  }
  std::vector<ValueId> inputs = node->Inputs();
  if (node->HasAttribute("split")) {
    inputs.resize(2, kNoValue);
    inputs[1] = node->Integers(node->TakeInts("split"));
  }
  node->Result("Split", std::move(inputs), std::move(attributes));
}

void LayerNormalization(NodeImport* node) {
  node->Expect("stash_type", 1);
  node->Result("LayerNormalization", node->Inputs(), node->TakeAll());
}

void RmsNormalization(NodeImport* node) {
  node->Expect("stash_type", 1);
  node->Result("RMSNormalization", node->Inputs(), node->TakeAll());
}

// Their newer attributes say what our types do. One scale of shape [1] is for the whole tensor, whatever its rank, as
// every runtime has it.
void Quantize(NodeImport* node) {
  node->TakeInt("saturate", 1);  // of 8-bit floats
  node->Expect("precision", 0);
  const std::int64_t type = node->TakeInt("output_dtype", 0);
  Attributes attributes = node->TakeAll();
  if (type != 0 && !node->Has(2)) {
    attributes["output_dtype"] = NameOfType(type);
  }
  node->Result("QuantizeLinear", {node->Input(0), node->ScalarOf(1), node->ScalarOf(2)}, std::move(attributes));
}

void Dequantize(NodeImport* node) {
  node->TakeInt("output_dtype", 0);  // half precision is computed in f32
  node->Result("DequantizeLinear", {node->Input(0), node->ScalarOf(1), node->ScalarOf(2)}, node->TakeAll());
}

// [B, S, heads · size] -> [B, heads, S, size]
ValueId SplitHeads(NodeImport* node, ValueId x, std::int64_t heads) {
  const ValueId split = node->Add("Reshape", {x, node->Integers({0, 0, heads, -1})});
  return node->Add("Transpose", {split}, {{"perm", Integers{0, 2, 1, 3}}});
}

// What MatMul, scale, mask and Softmax can say: every query sees all keys but those that a mask hides, and there are as
// many heads of keys as of queries, as far as that is known. A mask that is an input may hide every key from a query,
// whose answer is then 0; a computed one comes from an attention_mask, which no text has without a 1.
bool HasPlainForm(NodeImport* node) {
  const PlainNode& plain = node->node();
  const auto is = [&](const char* name, std::int64_t value) {
    const auto found = plain.attributes.find(name);
    return found == plain.attributes.end() || found->second == Attribute(value);
  };
  const auto softcap = plain.attributes.find("softcap");
  const bool has_softcap = softcap != plain.attributes.end() && softcap->second != Attribute(0.0F);
  const bool has_all = node->Has(0) && node->Has(1) && node->Has(2);
  if (!has_all || node->Has(4) || node->Has(5) || node->Has(6) || node->num_outputs() > 1 || has_softcap ||
      !is("is_causal", 0) || !is("left_window_size", -1) || !is("right_window_size", -1)) {
    return false;
  }
  if (node->Has(3) && node->TypeOf(node->Input(3)).dtype == DType::kBool && node->Producer(node->Input(3)) == nullptr) {
    return false;
  }
  const ValueType& query = node->TypeOf(node->Input(0));
  const ValueType& key = node->TypeOf(node->Input(1));
  const auto q_heads = plain.attributes.find("q_num_heads");
  const auto kv_heads = plain.attributes.find("kv_num_heads");
  const auto end = plain.attributes.end();
  const bool same_heads =
      (q_heads == end) == (kv_heads == end) && (q_heads == end || q_heads->second == kv_heads->second);
  const bool same_size = !query.has_rank(4) || !key.has_rank(4) || !query.shape[1].is_fixed() ||
                         !key.shape[1].is_fixed() || query.shape[1] == key.shape[1];
  const auto scale = plain.attributes.find("scale");
  const bool has_scale = scale != end && scale->second != Attribute(0.0F);  // 0: by the width, as without
  const bool knows_scale = has_scale || (query.has_shape && !query.shape.empty() && query.shape.back().is_fixed());
  return same_heads && same_size && knows_scale;
}

void WholeAttention(NodeImport* node) {
  const std::int64_t precision = node->TakeInt("softmax_precision", 0);
  std::vector<ValueId> inputs = node->Inputs();
  Attributes attributes = node->TakeAll();
  if (precision != 0) {
    attributes["softmax_precision"] = NameOfType(precision);
  }
  node->Result("Attention", std::move(inputs), std::move(attributes));
}

// Opset 23's operator: its plain form, MatMul, scale, mask, Softmax, MatMul, of 3 or 4 dimensions, which the fusion
// passes know; what has none stays whole.
void Attention(NodeImport* node) {
  if (!HasPlainForm(node)) {
    WholeAttention(node);
    return;
  }
  for (const char* name : {"is_causal", "left_window_size", "right_window_size", "softmax_precision",
                           "qk_matmul_output_mode", "kv_num_heads"}) {
    node->TakeInt(name, 0);
  }
  node->TakeFloat("softcap", 0);
  const std::int64_t q_heads = node->TakeInt("q_num_heads", 0);
  std::vector<ValueId> inputs = {node->Input(0), node->Input(1), node->Input(2)};
  float scale = node->TakeFloat("scale", 0);
  if (scale == 0) {
    const std::int64_t width = node->TypeOf(inputs[0]).shape.back().size;
    scale = 1 / std::sqrt(static_cast<float>(q_heads > 0 ? width / q_heads : width));
  }
  AttentionOfMatMuls(node, std::move(inputs), q_heads, scale, node->Input(3));
}

// Our graph's operator as it is: no part that the file's may have besides.
bool IsCanonicalAttention(NodeImport* node) {
  const PlainNode& plain = node->node();
  const auto is_known = [](const auto& attribute) {
    return attribute.first == "q_num_heads" || attribute.first == "kv_num_heads" || attribute.first == "scale";
  };
  return plain.attributes.size() == 3 && std::ranges::all_of(plain.attributes, is_known) && plain.inputs.size() <= 4 &&
         plain.outputs.size() == 1 && (!node->Has(3) || node->TypeOf(node->Raw(3)).dtype == DType::kBool);
}

void MoveAttribute(NodeImport* node, const MovedAttribute& moved) {
  std::vector<ValueId> inputs = node->Inputs();
  const std::string name(moved.attribute);
  if (node->HasAttribute(name)) {
    inputs.resize(static_cast<std::size_t>(moved.input) + 1, kNoValue);
    inputs[static_cast<std::size_t>(moved.input)] = node->Integers(node->TakeInts(name));
  }
  node->Result(node->node().op, std::move(inputs), node->TakeAll());
}

}  // namespace

void AttentionOfMatMuls(NodeImport* node, std::vector<ValueId> inputs, std::int64_t heads, float scale, ValueId mask) {
  const bool is_split = heads <= 0;
  for (ValueId& input : inputs) {
    input = is_split ? input : SplitHeads(node, input, heads);
  }
  const ValueId key = node->Add("Transpose", {inputs[1]}, {{"perm", Integers{0, 1, 3, 2}}});
  ValueId scores = node->Add("Mul", {node->Add("MatMul", {inputs[0], key}), node->Scalar(scale)});
  if (mask != kNoValue) {
    if (node->TypeOf(mask).dtype == DType::kBool) {
      mask = node->Add("Where", {mask, node->Scalar(0), node->Scalar(std::numeric_limits<float>::lowest())});
    }
    scores = node->Add("Add", {scores, mask});
  }
  const ValueId weights = node->Add("Softmax", {scores});
  if (is_split) {
    node->Result("MatMul", {weights, inputs[2]});
    return;
  }
  const ValueId context =
      node->Add("Transpose", {node->Add("MatMul", {weights, inputs[2]})}, {{"perm", Integers{0, 2, 1, 3}}});
  node->Result("Reshape", {context, node->Integers({0, 0, -1})});
}

bool Upgrade(NodeImport* node) {
  static const std::map<std::string_view, void (*)(NodeImport*)> rewrites = {
      {"Cast", Cast},
      {"CastLike", CastLike},
      {"DequantizeLinear", Dequantize},
      {"Dropout", Dropout},
      {"LayerNormalization", LayerNormalization},
      {"QuantizeLinear", Quantize},
      {"RMSNormalization", RmsNormalization},
      {"SimplifiedLayerNormalization", RmsNormalization},  // ONNX Runtime's, in ONNX's domain
  };
  const PlainNode& plain = node->node();
  const auto found = rewrites.find(plain.op);
  const MovedAttribute* moved = FindMovedAttribute(plain.op);
  if (found != rewrites.end()) {
    found->second(node);
  } else if ((plain.op == "Softmax" || plain.op == "LogSoftmax") && plain.opset < 13) {
    OldSoftmax(node);
  } else if (plain.op == "Split" && plain.opset < 18) {
    OldSplit(node);
  } else if (plain.op == "Identity") {
    node->Result(plain.op, {node->Raw(0)}, node->TakeAll());
  } else if (plain.op == "Attention" && !IsCanonicalAttention(node)) {
    Attention(node);
  } else if (moved != nullptr && plain.opset < moved->since) {
    MoveAttribute(node, *moved);
  } else {
    return false;
  }
  return true;
}

}  // namespace laconic::onnx_file
