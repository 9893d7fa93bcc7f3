#include "metrics/linear_head.h"

#include <cmath>

#include "laconic/error.h"

namespace laconic {

CenteredFeatures CenterFeatures(std::span<const float> features, std::int64_t num_columns) {
  const auto size = static_cast<std::int64_t>(features.size());
  if (num_columns < 1 || size == 0 || size % num_columns != 0) {
    Fail(ErrorCode::kInvalidArgument, "expected one or more rows of ", num_columns, " features, got ", size, " values");
  }
  CenteredFeatures result;
  result.num_rows = size / num_columns;
  result.num_columns = num_columns;
  result.values.assign(features.begin(), features.end());
  result.mean.assign(static_cast<std::size_t>(num_columns), 0);
  const auto columns = static_cast<std::size_t>(num_columns);
  for (std::size_t i = 0; i < features.size(); ++i) {
    if (!std::isfinite(features[i])) {
      Fail(ErrorCode::kInvalidArgument, "feature ", i % columns, " of row ", i / columns, " is not finite");
    }
    result.mean[i % columns] += features[i];
  }
  for (double& mean : result.mean) {
    mean /= static_cast<double>(result.num_rows);
  }
  double squares = 0;
  for (std::size_t i = 0; i < features.size(); ++i) {
    result.values[i] -= result.mean[i % columns];
    squares += result.values[i] * result.values[i];
  }
  result.mean_variance = squares / static_cast<double>(size);
  return result;
}

}  // namespace laconic
