// The rewrites of the fusion pipeline, one a file of the same name; pipeline.cpp has their order. Each changes `draft`
// in place and returns whether it changed anything; what it meets and cannot place, it leaves.
#pragma once

#include "passes/fusion/draft.h"

namespace laconic::passes::fusion {

bool Simplify(Draft* draft);       // no-ops, chains of reshapes and transposes, targets of reshapes
bool FoldConstants(Draft* draft);  // what depends on constants alone
bool ShareEqual(Draft* draft);     // equal nodes, and matrices that a file stores twice
bool FuseQuantized(Draft* draft);  // DynamicQuantizeLinear and MatMulInteger, tables of codes
bool FuseQLinearMatMul(Draft* draft);
bool FuseLinear(Draft* draft);   // MatMul, Gemm and their bias
bool SplitLinear(Draft* draft);  // packed Q, K, V
bool SinkReshape(Draft* draft);  // [batch * sequence, width] back to [batch, sequence, width]
bool FuseLayerNormalization(Draft* draft);
bool FuseGelu(Draft* draft);
bool FuseEmbeddings(Draft* draft);  // positions, constant token types, the order of the sum
bool FuseAttention(Draft* draft);
bool FusePooling(Draft* draft);  // first token, mean over the mask

}  // namespace laconic::passes::fusion
