// What changed from version to version in the operators that our graph and ONNX share. The reader brings older forms to
// the newest, the writer takes them back; both by these tables.
#pragma once

#include <optional>
#include <string_view>

#include "graph/graph.h"

namespace laconic::onnx_file {

// The opset that brought an operator of our graph under its name with its meaning; nothing for one that ONNX lacks.
// Opsets before kMinReadOnnxOpset do not matter: 1.
std::optional<int> FirstOpset(std::string_view op);

// An attribute of integers that became an input, in the same order.
struct MovedAttribute {
  std::string_view attribute;
  int input = 0;
  int since = 0;  // the first opset with the input
};
const MovedAttribute* FindMovedAttribute(std::string_view op);

// The opset that an attribute, or this value of it, came with, where that is later than the operator; 1 otherwise.
int FirstOpsetOfAttribute(std::string_view op, std::string_view attribute, const Attribute& value = {});
// The same of an input that no attribute was before, or this element type of it.
int FirstOpsetOfInput(std::string_view op, std::size_t input, DType dtype);

}  // namespace laconic::onnx_file
