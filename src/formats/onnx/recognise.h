// Plain operators -> our graph.
#pragma once

#include "formats/onnx/plain_graph.h"

namespace laconic::onnx_file {

// Finds the patterns that ToPlainGraph writes, by structure and constants alone; other nodes become operators of our
// graph, one or several for each (node_import.h). Nodes get the names of their first outputs. Errors: kUnsupported or
// kInvalidFile naming the node.
Graph Recognise(const PlainGraph& plain);

}  // namespace laconic::onnx_file
