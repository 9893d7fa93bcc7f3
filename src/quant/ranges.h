// The range of values that get codes of their own, from the statistics of a tensor; what lies outside is clipped.
// docs/numerics.md, "Observers", gives the formulas.
#pragma once

#include "laconic/qconfig.h"
#include "quant/statistics.h"

namespace laconic::quant {

// By `config.observer`, one of minmax, percentile, entropy and mse, for the codes of `config`. Within a bin of the
// statistics values count as evenly spread. Symmetric ranges are those of magnitudes, -t to t.
// Errors: kInvalidArgument for another observer, or statistics without values.
Range RangeOf(const TensorStatistics& statistics, const TensorQConfig& config);

// The sum of squared rounding errors, in f64, of the values of `bins` with `params` and `codes`.
double SquaredError(std::span<const Bin> bins, RowParams params, Codes codes);

}  // namespace laconic::quant
