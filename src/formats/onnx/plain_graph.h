// An ONNX graph as it stands in a file, without protobuf: operators of the opset, nothing of ours. Functions of the
// file and branches that are known beforehand are in their callers' place; constants of nodes are like initializers.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace laconic::onnx_file {

struct PlainValue {
  std::string name;
  std::optional<Tensor> constant = {};  // an initializer's elements; a graph input's default
  std::string doc = {};                 // an initializer's doc_string
  bool is_input = false;

  bool is_constant() const noexcept { return constant.has_value() && !is_input; }
};

struct PlainNode {
  std::string op;  // with its domain in front ("com.microsoft.Attention"), unless that is ONNX's own
  std::string name;
  std::vector<ValueId> inputs;  // kNoValue where an optional input or output is absent
  std::vector<ValueId> outputs;
  Attributes attributes;
  int opset = 0;         // whose operator this is: the graph's, unless a function brought the node
  std::string doc = {};  // its doc_string
};

// A graph's input or output.
struct PlainPort {
  ValueId value = kNoValue;
  ValueType type;
};

struct PlainGraph {
  int opset = 0;
  std::vector<PlainValue> values;
  std::vector<PlainNode> nodes;  // each after those whose outputs it reads
  std::vector<PlainPort> inputs;
  std::vector<PlainPort> outputs;
  std::vector<std::filesystem::path> external_files;  // of constants

  PlainValue& value(ValueId id) { return values[static_cast<std::size_t>(id)]; }
  const PlainValue& value(ValueId id) const { return values[static_cast<std::size_t>(id)]; }
  ValueId AddValue(PlainValue value) {
    values.push_back(std::move(value));
    return static_cast<ValueId>(values.size()) - 1;
  }
};

}  // namespace laconic::onnx_file
