// How fast a model runs here.
#pragma once

#include <string>

#include "laconic/evaluate.h"

namespace laconic {

struct BenchOptions {
  std::int64_t batch = 1;
  // Tokens a text: from `length` to `last_length`, evenly spread over the batch (0: all of `length`).
  std::int64_t length = 128;
  std::int64_t last_length = 0;
  int threads = 0;
  std::int64_t iterations = 0;  // 0: as many as fit in a second, at least 10
  std::uint64_t seed = 0;       // of the token ids
  ProgressFn progress;
};

struct BenchResult {
  std::string isa;
  int threads = 0;
  std::int64_t batch = 0;
  std::string length;  // "128", "8-128", or "data"
  std::int64_t num_runs = 0;
  LatencySummary latency;  // milliseconds a batch, token ids to logits
};

// Random token ids; three runs go first, unmeasured.
BenchResult BenchRandomTokens(const Model& model, const BenchOptions& options);

// The texts of a data set in batches of like length, each run once after three that are not measured.
BenchResult BenchDataset(const Model& model, const Dataset& data, const RunOptions& options);

}  // namespace laconic
