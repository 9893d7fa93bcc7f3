#include "laconic/bench.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "base/cancel.h"
#include "base/progress.h"
#include "laconic/error.h"
#include "workflows/run_options.h"

namespace laconic {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUps = 3;
constexpr std::int64_t kMinRuns = 10;
constexpr double kSeconds = 1.0;

double TimeRun(Session* session, const std::vector<Encoding>& batch) {
  const auto start = Clock::now();
  session->Run(batch);
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::vector<Encoding> RandomBatch(const CompiledModel& model, const BenchOptions& options) {
  const std::int64_t last = options.last_length == 0 ? options.length : options.last_length;
  if (options.batch < 1 || options.length < 1 || last < options.length || last > model.max_length()) {
    Fail(ErrorCode::kInvalidArgument, "expected a batch of at least 1 and lengths from 1 to ", model.max_length(),
         ", got ", options.batch, " and ", options.length, " to ", last);
  }
  std::mt19937_64 random(options.seed);
  std::vector<Encoding> batch(static_cast<std::size_t>(options.batch));
  for (std::int64_t i = 0; i < options.batch; ++i) {
    const std::int64_t steps = std::max<std::int64_t>(1, options.batch - 1);
    const std::int64_t length = options.length + (last - options.length) * i / steps;
    for (std::int64_t token = 0; token < length; ++token) {
      const auto id = random() % static_cast<std::uint64_t>(std::max<std::int64_t>(1, model.num_ids()));
      batch[static_cast<std::size_t>(i)].ids.push_back(static_cast<std::int32_t>(id));
    }
  }
  return batch;
}

}  // namespace

BenchResult BenchRandomTokens(const Model& model, const BenchOptions& options) {
  const auto compiled = CompiledModel::Compile(model);
  const std::vector<Encoding> batch = RandomBatch(*compiled, options);
  const int threads = NumThreads({.threads = options.threads});
  Session session(compiled, threads);
  for (int i = 0; i < kWarmUps; ++i) {
    session.Run(batch);
  }
  std::vector<double> milliseconds;
  const auto start = Clock::now();
  const auto enough = [&] {
    const auto runs = static_cast<std::int64_t>(milliseconds.size());
    if (options.iterations > 0) {
      return runs >= options.iterations;
    }
    return runs >= kMinRuns && std::chrono::duration<double>(Clock::now() - start).count() >= kSeconds;
  };
  while (!enough()) {
    ThrowIfCancelled();
    milliseconds.push_back(TimeRun(&session, batch));
    Report(options.progress, "measuring", static_cast<std::int64_t>(milliseconds.size()), options.iterations);
  }
  const auto runs = static_cast<std::int64_t>(milliseconds.size());
  const std::string length = options.last_length == 0
                                 ? std::to_string(options.length)
                                 : std::to_string(options.length) + "-" + std::to_string(options.last_length);
  return {compiled->isa(), threads, options.batch, length, runs, SummarizeLatency(milliseconds, runs * options.batch)};
}

BenchResult BenchDataset(const Model& model, const Dataset& data, const RunOptions& options) {
  const auto compiled = CompiledModel::Compile(model);
  const EncodedTexts texts = EncodeTexts(model, data, options);
  const auto batches = MakeBatches(texts.encodings, BatchOrder(texts.encodings, options.batch));
  Session session(compiled, NumThreads(options));
  for (int i = 0; i < kWarmUps; ++i) {
    session.Run(batches[batches.size() / 2]);
  }
  std::vector<double> milliseconds;
  for (const std::vector<Encoding>& batch : batches) {
    ThrowIfCancelled();
    milliseconds.push_back(TimeRun(&session, batch));
    Report(options.progress, "measuring", static_cast<std::int64_t>(milliseconds.size()),
           static_cast<std::int64_t>(batches.size()));
  }
  return {compiled->isa(),
          NumThreads(options),
          options.batch,
          "data",
          static_cast<std::int64_t>(batches.size()),
          SummarizeLatency(milliseconds, static_cast<std::int64_t>(data.texts.size()))};
}

}  // namespace laconic
