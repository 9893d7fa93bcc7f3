// Dynamic quantization, shared by its operator and by integer linear layers. Private to src/interpreter.
#pragma once

#include "interpreter/op.h"

namespace laconic::interpreter {

// Rows of f32 as integers: codes less their zero point (s32, the input's shape), and a scale for each row.
struct QuantizedRows {
  Tensor codes;
  Tensor scales;
};

// laconic.DynamicQuantize of x f32 [..., K], as docs/numerics.md; the call has its attributes. A text is what has the
// same index in the first of several dimensions.
QuantizedRows QuantizeDynamically(const OpCall& call, const Tensor& x);

}  // namespace laconic::interpreter
