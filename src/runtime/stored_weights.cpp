#include "runtime/stored_weights.h"

#include "laconic/error.h"

namespace laconic::runtime {
namespace {

// What Cast or DequantizeLinear of `value` reads; null if it is no such thing of a constant.
const Node* FindConversion(const Graph& graph, ValueId value, std::string_view op) {
  const Node* node = graph.FindProducer(value);
  const bool is_conversion = node != nullptr && node->op == op && graph.FindInitializer(node->inputs[0]) != nullptr;
  return is_conversion ? node : nullptr;
}

// A constant of floats as it is, or before Cast widened it; null otherwise.
const Tensor* FindStoredFloats(const Graph& graph, ValueId value) {
  const Node* cast = FindConversion(graph, value, "Cast");
  const Tensor* tensor = graph.FindInitializer(cast == nullptr ? value : cast->inputs[0]);
  const bool are_floats = tensor != nullptr && (tensor->dtype() == DType::kF32 || tensor->dtype() == DType::kF16 ||
                                                tensor->dtype() == DType::kBF16);
  return are_floats ? tensor : nullptr;
}

bool HasZeroPoint(const Node& node) { return node.inputs.size() > 2 && node.inputs[2] != kNoValue; }

// --- linear layers --------------------------------------------------------------------------------------------------

// Scales or zero points of a weight with `columns` columns: one for each, or one for all.
Tensor ForColumns(const Graph& graph, const Node& dequantize, std::size_t input, DType dtype, std::int64_t columns) {
  const Tensor* tensor = graph.FindInitializer(dequantize.inputs[input]);
  if (tensor == nullptr || tensor->dtype() != dtype ||
      (tensor->num_elements() != 1 && tensor->shape() != Shape{columns})) {
    Fail(ErrorCode::kUnsupported, "weight '", graph.name(dequantize),
         "': expected constant scales and zero points, one for each column or one for all");
  }
  return tensor->Contiguous();
}

LinearPart StoredCodes(const Graph& graph, const Node& dequantize) {
  LinearPart part;
  part.weight = *graph.FindInitializer(dequantize.inputs[0]);
  const std::int64_t columns = part.weight.shape()[1];
  part.scale = ForColumns(graph, dequantize, 1, DType::kF32, columns);
  if (HasZeroPoint(dequantize)) {
    part.zero_point = ForColumns(graph, dequantize, 2, part.weight.dtype(), columns);
  }
  const std::int64_t axis = IntAttribute(dequantize, "axis");
  if (!part.has_codes() || IntAttribute(dequantize, "block_size") != 0 ||
      (part.scale.num_elements() != 1 && axis != 1 && axis != -1)) {
    Fail(ErrorCode::kUnsupported, "weight '", graph.name(dequantize),
         "': expected s8 or u8 with a scale per column, or one for all");
  }
  return part;
}

LinearPart StoredWeight(const Graph& graph, ValueId value) {
  if (const Node* dequantize = FindConversion(graph, value, "DequantizeLinear")) {
    return StoredCodes(graph, *dequantize);
  }
  const Tensor* stored = FindStoredFloats(graph, value);
  if (stored == nullptr) {
    Fail(ErrorCode::kUnsupported, "weight '", graph.value(value).name,
         "': expected a constant, a Cast of one, or 8-bit codes of one");
  }
  return {*stored, {}, {}, nullptr};
}

// --- tables ---------------------------------------------------------------------------------------------------------

// Codes whose rows have a scale for each block of columns.
void ReadBlockCodes(const Graph& graph, const Node& dequantize, Table* table) {
  table->block = IntAttribute(dequantize, "block_size");
  const Tensor* codes = graph.FindInitializer(dequantize.inputs[0]);
  const Tensor* scale = graph.FindInitializer(dequantize.inputs[1]);
  const bool runs = scale != nullptr && codes->dtype() == DType::kS8 && codes->shape().size() == 2 &&
                    dequantize.inputs.size() == 2 && IntAttribute(dequantize, "axis") == 1 &&
                    table->block % kernels::kEmbeddingBlockUnit == 0;
  if (!runs) {
    Fail(ErrorCode::kUnsupported, "table '", graph.name(dequantize), "': blocks of ", table->block,
         "; expected constant s8 in blocks along axis 1 of a multiple of ", kernels::kEmbeddingBlockUnit,
         " columns, without zero points");
  }
  table->data = *codes;
  table->scale = scale->Contiguous();
}

bool HasOneScale(const Graph& graph, const Node& dequantize) {
  const Tensor& codes = *graph.FindInitializer(dequantize.inputs[0]);
  const Tensor* scale = graph.FindInitializer(dequantize.inputs[1]);
  return codes.shape().size() == 2 && (codes.dtype() == DType::kS8 || codes.dtype() == DType::kU8) &&
         scale != nullptr && scale->num_elements() == 1 &&
         (!HasZeroPoint(dequantize) || graph.FindInitializer(dequantize.inputs[2]) != nullptr);
}

int CodeAt(const Tensor& codes, std::int64_t i) {
  return codes.dtype() == DType::kS8 ? int{codes.data_as<std::int8_t>()[i]} : int{codes.data_as<std::uint8_t>()[i]};
}

// A tensor of T whose elements are `convert` of the codes less their zero point.
template <typename T, typename Convert>
Tensor Converted(DType dtype, const Tensor& codes, int zero_point, Convert&& convert) {
  return Tensor::Make(dtype, codes.shape(), [&](std::byte* bytes) {
    auto* out = reinterpret_cast<T*>(bytes);
    for (std::int64_t i = 0; i < codes.num_elements(); ++i) {
      out[i] = convert(CodeAt(codes, i) - zero_point);
    }
  });
}

bool FitS8(const Tensor& codes, int zero_point) {
  for (std::int64_t i = 0; i < codes.num_elements(); ++i) {
    const int difference = CodeAt(codes, i) - zero_point;
    if (difference < -128 || difference > 127) {
      return false;
    }
  }
  return true;
}

// Codes with one scale for all rows, as ONNX Runtime writes them. Less their zero point they stay 8 bits wide where
// they fit; otherwise the table is held in f32.
void ReadCodesOfOneScale(const Graph& graph, const Node& dequantize, Table* table) {
  const Tensor codes = graph.FindInitializer(dequantize.inputs[0])->Contiguous();
  const float scale = graph.FindInitializer(dequantize.inputs[1])->values<float>()[0];
  const int zero_point = HasZeroPoint(dequantize) ? CodeAt(*graph.FindInitializer(dequantize.inputs[2]), 0) : 0;
  if (!FitS8(codes, zero_point)) {
    table->data = Converted<float>(DType::kF32, codes, zero_point,
                                   [&](int difference) { return static_cast<float>(difference) * scale; });
    return;
  }
  const bool as_stored = codes.dtype() == DType::kS8 && zero_point == 0;
  table->data = as_stored ? codes : Converted<std::int8_t>(DType::kS8, codes, zero_point, [](int difference) {
    return static_cast<std::int8_t>(difference);
  });
  const std::vector<float> scales(static_cast<std::size_t>(codes.shape()[0]), scale);
  table->scale = Tensor::FromValues<float>({codes.shape()[0]}, scales);
}

// s8 with a scale per row. False: it is something else.
bool ReadCodesByRow(const Graph& graph, const Node& dequantize, Table* table) {
  const Tensor& codes = *graph.FindInitializer(dequantize.inputs[0]);
  const Tensor* scale = graph.FindInitializer(dequantize.inputs[1]);
  if (dequantize.inputs.size() != 2 || codes.dtype() != DType::kS8 || IntAttribute(dequantize, "axis") != 0 ||
      scale == nullptr || scale->shape() != Shape{codes.shape()[0]}) {
    return false;
  }
  table->data = codes;
  table->scale = *scale;
  return true;
}

bool ReadCodes(const Graph& graph, const Node& dequantize, Table* table) {
  if (IntAttribute(dequantize, "block_size") != 0) {
    ReadBlockCodes(graph, dequantize, table);
    return true;
  }
  if (HasOneScale(graph, dequantize)) {
    ReadCodesOfOneScale(graph, dequantize, table);
    return true;
  }
  return ReadCodesByRow(graph, dequantize, table);
}

}  // namespace

LinearPart StoredLinear(const Graph& graph, const Node& linear) {
  LinearPart part = StoredWeight(graph, linear.inputs[1]);
  if (linear.inputs.size() > 2 && linear.inputs[2] != kNoValue) {
    part.bias = graph.FindInitializer(linear.inputs[2]);
    if (part.bias == nullptr) {
      Fail(ErrorCode::kUnsupported, "bias '", graph.value(linear.inputs[2]).name, "' is not a constant");
    }
  }
  return part;
}

Table StoredTable(const Graph& graph, ValueId value) {
  Table table;
  table.name = graph.value(value).name;
  const Node* dequantize = FindConversion(graph, value, "DequantizeLinear");
  const Tensor* floats = FindStoredFloats(graph, value);
  if (floats != nullptr) {
    table.data = *floats;
  } else if (dequantize == nullptr || !ReadCodes(graph, *dequantize, &table)) {
    Fail(ErrorCode::kUnsupported, "table '", table.name, "': expected a constant, a Cast of one, or s8 with a scale ",
         "per row");
  }
  table.data = table.data.Contiguous();
  table.type = WeightTypeOf(table.data.dtype());
  return table;
}

}  // namespace laconic::runtime
