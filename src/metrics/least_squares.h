// Refitting a classification head by least squares: a quantized encoder's features to the float model's logits.
#pragma once

#include <span>

#include "base/thread_pool.h"
#include "metrics/linear_head.h"

namespace laconic {

// The head that minimises  mean |weight · x + bias - t|² + penalty · v · |weight - old weight|²
// over the rows x of `features` and t of `target_logits`, where v is the mean variance of the features. So it shrinks
// toward the old head, not toward zero; the bias is free.
//
// Shapes:   features [n, old.num_features]; target_logits [n, old.num_labels].
// Numerics: normal equations and Cholesky in double. Deterministic, whatever the number of threads.
// Errors:   kInvalidArgument for other shapes, values that are not finite, a penalty that is negative or (with
// dependent
//           features) zero.
LinearHead RefitHead(const LinearHead& old, std::span<const float> features, std::span<const float> target_logits,
                     double penalty, ThreadPool* pool);

}  // namespace laconic
