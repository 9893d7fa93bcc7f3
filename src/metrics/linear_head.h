// A linear classification head, and the features that one is fitted on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace laconic {

// logits = weight · features + bias.
struct LinearHead {
  std::int64_t num_labels = 0;
  std::int64_t num_features = 0;
  std::vector<float> weight;  // [num_labels, num_features]
  std::vector<float> bias;    // [num_labels]
};

// Row-major features with the mean of each column taken off: fits are better conditioned so, and a bias makes up for
// it.
struct CenteredFeatures {
  std::int64_t num_rows = 0;
  std::int64_t num_columns = 0;
  std::vector<double> values;  // [num_rows, num_columns]
  std::vector<double> mean;    // [num_columns]
  double mean_variance = 0;    // over the columns; the scale to which penalties are relative

  const double* row(std::int64_t i) const noexcept { return values.data() + i * num_columns; }
};

// Errors: kInvalidArgument unless `features` is one or more rows of `num_columns` finite numbers.
CenteredFeatures CenterFeatures(std::span<const float> features, std::int64_t num_columns);

}  // namespace laconic
