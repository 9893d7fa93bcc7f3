// ModelProto -> PlainGraph.
#pragma once

#include <filesystem>

#include "formats/onnx/plain_graph.h"
#include "onnx-ml.pb.h"

namespace laconic::onnx_file {

// More nodes than this, those of functions counted at each call, are refused; BERT-large has 3,000.
inline constexpr std::int64_t kMaxNodes = 1'000'000;

// Reads the model's graph; nodes come in an order in which each follows those that it reads. Calls of the model's own
// functions, and an If on a constant, become the nodes they stand for. Inferred types that the file brings (value_info)
// are not looked at. An input with a default that lies in the file is a constant, but for those of kOptionalInput.
// Empties `model` on the way, so that weights are not held twice. External data is looked for in `directory`.
// Errors: kInvalidFile for a malformed graph, naming the node or tensor; kUnsupported for opsets, types and subgraphs
// that are not known; kResource for more than kMaxNodes nodes.
PlainGraph ReadGraph(::onnx::ModelProto* model, const std::filesystem::path& directory);

}  // namespace laconic::onnx_file
