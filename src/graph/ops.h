// The operators of the graph: how many inputs, which attributes, which types come out.
//
// ONNX operators keep ONNX's names and meaning (the newest version's). Those called "laconic.…" are single ops for what
// ONNX can only say with a pattern; formats/onnx writes the pattern and recognises exactly that one.
//
//   laconic.Linear(x [..., K], w [K, N], b? [N])      x·w + b
//   laconic.DynamicQuantize(x [..., K])               x rounded to 8 bits as the model runs (docs/numerics.md), as real
//                                                     numbers; whoever reads it may compute with the integers behind
//                                                     it. granularity "token": a scale a row; "tensor": a scale a text
//   laconic.Positions(ids [B, S]) {offset}            [1, S]: offset, offset + 1, … (offset 0 by default): the position
//                                                     of a text's tokens, whatever padding follows them
//   laconic.KeyMask(mask [B, S])                      bool [B, 1, 1, S]: mask != 0, for Attention
//   laconic.Int8Attention(query [B, Q, H], key [B, S, H], value [B, S, H], mask? bool [B, 1, 1, S]) {num_heads, scale}
//                                                     [B, Q, H]: Attention whose products are of 8-bit codes found as
//                                                     the model runs (docs/numerics.md); scale > 0. A text without
//                                                     keys: 0
//   laconic.MeanPool(x [B, S, H], mask [B, S])        [B, H]: the mean of x over the positions where mask != 0
#pragma once

#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace laconic {

// Of laconic.DynamicQuantize.
inline constexpr std::string_view kGranularity = "granularity";
inline constexpr std::string_view kPerToken = "token";  // the default
inline constexpr std::string_view kPerTensor = "tensor";

struct AttributeSchema {
  std::string_view name;
  Attribute default_value;
  bool required = false;
};

inline constexpr int kAnyNumber = std::numeric_limits<int>::max();

struct OpSchema {
  std::string_view op;
  int min_inputs = 0;
  int max_inputs = 0;  // or kAnyNumber
  std::vector<AttributeSchema> attributes;

  // The type of output number `output` from the inputs' types (null where an optional input is absent).
  // Errors: kInvalidFile, expected and got.
  ValueType (*infer)(std::span<const ValueType* const> inputs, const Attributes& attributes, int output);
  int max_outputs = 1;
};

// In onnx_ops.cpp: ONNX's operators that have no part in the canonical form of a model, but occur in files. Of their
// outputs the element type is always known, the shape where it follows from the inputs' shapes.
const std::vector<OpSchema>& GeneralOnnxOps();

// Null for an unknown op.
const OpSchema* FindOpSchema(std::string_view op);
std::vector<std::string_view> OpNames();

}  // namespace laconic
