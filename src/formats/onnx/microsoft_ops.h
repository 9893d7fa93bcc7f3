// The operators of ONNX Runtime's own domain, com.microsoft: what its optimizer and its quantizer write into files.
#pragma once

#include "formats/onnx/node_import.h"

namespace laconic::onnx_file {

// Writes a node of that domain with the graph's operators; false for an operator that it knows nothing of.
// Errors: kUnsupported for a part of an operator that a text classifier does not need (a past, causal masks).
bool ImportMicrosoftOp(NodeImport* node);

}  // namespace laconic::onnx_file
