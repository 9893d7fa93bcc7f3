#include "formats/onnx/op_versions.h"

#include <algorithm>
#include <array>
#include <map>

#include "graph/ops.h"

namespace laconic::onnx_file {
namespace {

struct MovedRow {
  std::string_view op;
  MovedAttribute moved;
};
constexpr std::array kMoved = {
    MovedRow{"ReduceL1", {"axes", 1, 18}},     MovedRow{"ReduceL2", {"axes", 1, 18}},
    MovedRow{"ReduceLogSum", {"axes", 1, 18}}, MovedRow{"ReduceLogSumExp", {"axes", 1, 18}},
    MovedRow{"ReduceMax", {"axes", 1, 18}},    MovedRow{"ReduceMean", {"axes", 1, 18}},
    MovedRow{"ReduceMin", {"axes", 1, 18}},    MovedRow{"ReduceProd", {"axes", 1, 18}},
    MovedRow{"ReduceSum", {"axes", 1, 13}},    MovedRow{"ReduceSumSquare", {"axes", 1, 18}},
    MovedRow{"Split", {"split", 1, 13}},       MovedRow{"Squeeze", {"axes", 1, 13}},
    MovedRow{"Unsqueeze", {"axes", 1, 13}},
};

// Of several rows of an attribute the first that fits counts.
struct AttributeRow {
  std::string_view op, attribute;
  int since = 0;
  std::string_view value = {};  // empty: any
};
constexpr std::array kAttributes = {
    AttributeRow{"Attention", "left_window_size", 25},
    AttributeRow{"Attention", "right_window_size", 25},
    AttributeRow{"DequantizeLinear", "block_size", 21},
    AttributeRow{"Pad", "mode", 19, "wrap"},
    AttributeRow{"QuantizeLinear", "block_size", 21},
    AttributeRow{"QuantizeLinear", "output_dtype", 21},
    AttributeRow{"Reshape", "allowzero", 14},
    AttributeRow{"ScatterElements", "reduction", 18, "max"},
    AttributeRow{"ScatterElements", "reduction", 18, "min"},
    AttributeRow{"ScatterElements", "reduction", 16},
    AttributeRow{"ScatterND", "reduction", 18, "max"},
    AttributeRow{"ScatterND", "reduction", 18, "min"},
    AttributeRow{"ScatterND", "reduction", 16},
    AttributeRow{"Shape", "end", 15},
    AttributeRow{"Shape", "start", 15},
};

struct InputRow {
  std::string_view op;
  std::size_t input = 0;
  int since = 0;
  std::optional<DType> dtype = {};  // none: any
};
constexpr std::array kInputs = {
    InputRow{"Attention", 6, 24},  // lengths of the keys
    InputRow{"DequantizeLinear", 0, 21, DType::kS16},
    InputRow{"Pad", 3, 18},  // axes
    InputRow{"QuantizeLinear", 2, 21, DType::kS16},
    InputRow{"ReduceMax", 0, 20, DType::kBool},
    InputRow{"ReduceMin", 0, 20, DType::kBool},
};

}  // namespace

std::optional<int> FirstOpset(std::string_view op) {
  static const std::map<std::string_view, int> later = {
      {"Attention", 23},      {"Celu", 12},      {"Gelu", 20},
      {"GreaterOrEqual", 12}, {"HardSwish", 14}, {"LayerNormalization", 17},
      {"LessOrEqual", 12},    {"Mish", 18},      {"RMSNormalization", 23},
      {"Swish", 24},          {"Trilu", 14},
  };
  if (op.starts_with("laconic.") || FindOpSchema(op) == nullptr) {
    return std::nullopt;
  }
  const auto found = later.find(op);
  return found == later.end() ? 1 : found->second;
}

const MovedAttribute* FindMovedAttribute(std::string_view op) {
  const auto found = std::ranges::find(kMoved, op, &MovedRow::op);
  return found == kMoved.end() ? nullptr : &found->moved;
}

int FirstOpsetOfAttribute(std::string_view op, std::string_view attribute, const Attribute& value) {
  const MovedAttribute* moved = FindMovedAttribute(op);
  if (attribute == "noop_with_empty_axes" && moved != nullptr) {
    return moved->since;
  }
  const auto* text = std::get_if<std::string>(&value);
  for (const AttributeRow& row : kAttributes) {
    const bool has_value = row.value.empty() || (text != nullptr && *text == row.value);
    if (row.op == op && row.attribute == attribute && has_value) return row.since;
  }
  return 1;
}

int FirstOpsetOfInput(std::string_view op, std::size_t input, DType dtype) {
  const auto found = std::ranges::find_if(kInputs, [&](const InputRow& row) {
    return row.op == op && row.input == input && row.dtype.value_or(dtype) == dtype;
  });
  return found == kInputs.end() ? 1 : found->since;
}

}  // namespace laconic::onnx_file
