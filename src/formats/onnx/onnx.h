// ONNX files: a Graph written with ONNX's own operators for a chosen opset, and read back to the same Graph.
//
// The logical operators (laconic.Linear, laconic.DynamicQuantize, …) and those that are newer than the opset become
// patterns of plain operators (op_patterns.h); the reader recognises exactly these patterns again, whatever the nodes
// are called. So PrintGraph(ReadOnnx(WriteOnnx(graph)).graph) == PrintGraph(graph) at each opset, whatever the options.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace laconic {

inline constexpr int kMinOnnxOpset = 14;  // that is written
inline constexpr int kMaxOnnxOpset = 23;
inline constexpr int kMinReadOnnxOpset = 11;  // that is read
inline constexpr int kMaxReadOnnxOpset = 28;

// How linear layers with static scales are said. What is quantized dynamically is always said by its integers.
enum class OnnxQuantization {
  kQdq,        // QuantizeLinear, DequantizeLinear, then MatMul of real numbers: a runtime finds the integers itself
  kQOperator,  // QuantizeLinear, then MatMulInteger
};

struct OnnxWriteOptions {
  int opset = 17;
  OnnxQuantization quantization = OnnxQuantization::kQdq;
  bool external_data = false;                        // the tensors go to `<file>.data` beside the file, 64-byte aligned
  bool force = false;                                // replace files that exist
  std::map<std::string, std::string> metadata = {};  // the model's metadata_props
};

// Writes `graph`. Each tensor is made contiguous only while it is written, and its mapped pages are released after.
// An input called token_type_ids gets a default of zeros, so that a caller may leave it out.
// Errors: kInvalidArgument for an opset outside [kMinOnnxOpset, kMaxOnnxOpset], a file that exists without `force`, or
// a self-contained file over 2 GB; kUnsupported for a graph that the opset cannot say, naming the node; kIo, kResource.
void WriteOnnx(const Graph& graph, const std::filesystem::path& file, const OnnxWriteOptions& options);

struct OnnxModel {
  Graph graph;
  int opset = 0;
  std::map<std::string, std::string> metadata;
  std::map<std::string, ValueType> outputs;  // as the file states them: a general graph's own types may lack shapes
  std::vector<std::filesystem::path> files;  // that were read: the model's, then those of external data
};

// Reads a model. Tensors in external data are views of the mapped file; others are copies.
// Errors: kNotFound, kIo; kInvalidFile for a malformed file, naming the node or tensor; kUnsupported for an opset,
// element type or operator that the graph does not have, naming the node.
OnnxModel ReadOnnx(const std::filesystem::path& file);

}  // namespace laconic
