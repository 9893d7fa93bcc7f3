// Which plain operators stand for which node of our graph, by opset. This table is all that the writer and the reader
// know of any operator's meaning.
#pragma once

#include <string_view>
#include <vector>

#include "formats/onnx/pattern.h"

namespace laconic::onnx_file {

// Patterns for an opset; of two that fit, the earlier is meant.
//
// laconic.Linear on a laconic.DynamicQuantize and a DequantizeLinear (axis 1) becomes integer arithmetic that equals
// docs/numerics.md operation by operation; one on rows of one scale (dynamic per tensor; static, where Quantization
// kQOperator is asked for) becomes MatMulInteger with that zero point, rescaled once; Gather from a DequantizeLinear
// (axis 0) gathers codes and scales, since a runtime would fold the table's DequantizeLinear into a float table when it
// loads the model; one in blocks (axis 1, whole ones only) the same, so that it needs no opset 21. On other inputs such
// weights stay DequantizeLinear + MatMul, for which ONNX Runtime 1.32 quantizes the inputs too, unless its
// session.qdq_matmulnbits_accuracy_level is 1. Attention is always a pattern: ONNX Runtime 1.32 refuses the operator
// (opset 23) with a mask of one row for all queries.
std::vector<Pattern> MakePatterns(int opset);

// Whether the opset has our graph's operator `op` under the same name with the same meaning.
bool IsPlainOp(std::string_view op, int opset);

}  // namespace laconic::onnx_file
