// Matrix products, shared by several operators. Private to src/interpreter.
#pragma once

#include "interpreter/op.h"

namespace laconic::interpreter {

// NumPy's matmul: one dimension is a row on the left, a column on the right; the leading axes broadcast. Sums of f32 in
// f32, ascending from 0; integers wrap around.
Tensor MatMul(const OpCall& call, const Tensor& a, const Tensor& b);

// y = ((f32(sum_k a w) * row_scales[row]) * w_scales[column]) + bias: the linear layer of docs/numerics.md.
//
// Shapes: a s32 [..., K], less its zero points; w s32 [K, N], likewise; row_scales f32, one for each row or one for
// all;
//         w_scales f32 [N] or one for all; bias f32 [N] or null.
// Errors: kInvalidFile for other shapes; kUnsupported for more than quant::kMaxLinearTerms terms.
Tensor IntegerLinear(const OpCall& call, const Tensor& a, const Tensor& row_scales, const Tensor& w,
                     const Tensor& w_scales, const Tensor* bias);

}  // namespace laconic::interpreter
