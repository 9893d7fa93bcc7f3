// Our graph -> the plain operators of an opset.
#pragma once

#include <string_view>

#include "formats/onnx/onnx.h"
#include "formats/onnx/plain_graph.h"
#include "graph/model_io.h"

namespace laconic::onnx_file {

// An optional input (token_type_ids) gets a default of zeros [1, 1], which broadcasts like any batch. Its own sizes are
// then not those of the other inputs, and are called so: with "batch" for both, ONNX Runtime would reuse a buffer of
// the default's size for the others.
inline constexpr std::string_view kOptionalInput = kTokenTypeIds;
inline constexpr char kOptionalSuffix[] = "_or_1";

// Errors: kUnsupported for a node that the opset cannot say.
PlainGraph ToPlainGraph(const Graph& graph, int opset, OnnxQuantization quantization = OnnxQuantization::kQdq);

}  // namespace laconic::onnx_file
