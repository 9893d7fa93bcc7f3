// How fast a model runs here.
#pragma once

#include <optional>
#include <string>

#include "laconic/evaluate.h"

namespace laconic {

inline constexpr int kWarmUps = 3;

struct BenchOptions {
  RunOptions run = {.batch = 1};  // but for max_length
  // Tokens a text: from `length` to `last_length`, evenly spread over the batch (0: all of `length`).
  std::int64_t length = 128;
  std::int64_t last_length = 0;
  std::int64_t iterations = 0;  // 0: as many as fit in a second, at least 10
  int warm_ups = kWarmUps;      // runs that go first, unmeasured
  std::uint64_t seed = 0;       // of the token ids
};

struct BenchResult {
  std::string isa;
  std::string precision;
  int threads = 0;
  std::int64_t batch = 0;
  std::string length;  // "128", "8-128", or "data"
  std::int64_t num_runs = 0;
  std::int64_t peak_memory_bytes = 0;      // the most that this process has held, loading included
  LatencySummary latency;                  // milliseconds a batch: token ids to logits, or texts to logits
  std::optional<double> tokenizing_share;  // of that time, where it was measured too
};

// Random token ids; all 0 where the graph does not say how many there are. Errors: kInvalidArgument for a batch below
// 1, a batch of 1 to spread over lengths, or lengths that the model cannot have; those of CompiledModel::Compile and
// Session.
BenchResult BenchRandomTokens(const Model& model, const BenchOptions& options);

struct DataBenchOptions {
  RunOptions run;
  std::int64_t iterations = 0;  // batches to run, the first again after the last; 0: each batch once
  int warm_ups = kWarmUps;
  bool tokenizing = false;  // measured too: each batch is tokenized, then run
};

// The texts of a data set in batches of like length. Errors: those of EncodeTexts, CompiledModel::Compile and Session;
// kInvalidArgument for no texts.
BenchResult BenchDataset(const Model& model, const Dataset& data, const DataBenchOptions& options);

}  // namespace laconic
