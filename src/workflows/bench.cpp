#include "laconic/bench.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>

#include "base/cancel.h"
#include "base/progress.h"
#include "laconic/error.h"
#include "workflows/batches.h"

namespace laconic {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kMinRuns = 10;
constexpr double kSeconds = 1.0;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// VmHWM, in kilobytes there; the system's other account of it (getrusage) begins with the parent process's memory.
std::int64_t PeakMemoryBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) {
      return kilobytes * 1024;
    }
  }
  return 0;
}

// The texts of these indices.
Dataset Select(const Dataset& data, const std::vector<std::int64_t>& indices) {
  Dataset some;
  for (const std::int64_t index : indices) {
    some.texts.push_back(data.texts[static_cast<std::size_t>(index)]);
    if (!data.second_texts.empty()) {
      some.second_texts.push_back(data.second_texts[static_cast<std::size_t>(index)]);
    }
  }
  return some;
}

std::vector<Encoding> RandomBatch(const CompiledModel& model, const BenchOptions& options) {
  const std::int64_t last = options.last_length == 0 ? options.length : options.last_length;
  const std::int64_t size = options.run.batch;
  if (size < 1 || options.length < 1 || last < options.length || last > model.max_length()) {
    Fail(ErrorCode::kInvalidArgument, "expected a batch of at least 1 and lengths from 1 to ", model.max_length(),
         ", got ", size, " and ", options.length, " to ", last);
  }
  if (size == 1 && last > options.length) {
    Fail(ErrorCode::kInvalidArgument, "expected a batch of at least 2 to spread over lengths from ", options.length,
         " to ", last, ", got 1");
  }
  std::mt19937_64 random(options.seed);
  std::vector<Encoding> batch(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t steps = std::max<std::int64_t>(1, size - 1);
    const std::int64_t length = options.length + (last - options.length) * i / steps;
    for (std::int64_t token = 0; token < length; ++token) {
      const auto id = random() % static_cast<std::uint64_t>(std::max<std::int64_t>(1, model.num_ids()));
      batch[static_cast<std::size_t>(i)].ids.push_back(static_cast<std::int32_t>(id));
    }
  }
  return batch;
}

void WarmUp(const std::vector<Encoding>& batch, int times, Session* session) {
  for (int i = 0; i < times; ++i) {
    ThrowIfCancelled();
    session->Run(batch);
  }
}

}  // namespace

BenchResult BenchRandomTokens(const Model& model, const BenchOptions& options) {
  const auto compiled = CompiledModel::Compile(model, options.run.compile);
  const std::vector<Encoding> batch = RandomBatch(*compiled, options);
  const int threads = NumThreads(options.run);
  Session session(compiled, threads);
  WarmUp(batch, options.warm_ups, &session);
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
    const auto run_start = Clock::now();
    session.Run(batch);
    milliseconds.push_back(MillisecondsSince(run_start));
    Report(options.run.progress, "measuring", static_cast<std::int64_t>(milliseconds.size()), options.iterations);
  }
  const auto runs = static_cast<std::int64_t>(milliseconds.size());
  const std::string length = options.last_length == 0
                                 ? std::to_string(options.length)
                                 : std::to_string(options.length) + "-" + std::to_string(options.last_length);
  return {compiled->isa(),
          compiled->precision(),
          threads,
          options.run.batch,
          length,
          runs,
          PeakMemoryBytes(),
          SummarizeLatency(milliseconds, runs * options.run.batch),
          std::nullopt};
}

BenchResult BenchDataset(const Model& model, const Dataset& data, const DataBenchOptions& options) {
  const auto compiled = CompiledModel::Compile(model, options.run.compile);
  const int threads = NumThreads(options.run);
  const std::vector<Encoding> encodings = EncodeTexts(model, data, options.run).encodings;
  const auto order = BatchOrder(encodings, options.run.batch);
  if (order.empty()) {
    Fail(ErrorCode::kInvalidArgument, "expected texts to run, got none");
  }
  std::vector<std::vector<Encoding>> batches = MakeBatches(encodings, order);
  Session session(compiled, threads);
  WarmUp(batches[batches.size() / 2], options.warm_ups, &session);
  const auto runs = options.iterations > 0 ? options.iterations : static_cast<std::int64_t>(batches.size());
  std::vector<Dataset> texts;
  if (options.tokenizing) {
    std::ranges::transform(order, std::back_inserter(texts),
                           [&](const std::vector<std::int64_t>& indices) { return Select(data, indices); });
  }
  std::vector<double> milliseconds;
  double tokenizing = 0;
  std::int64_t num_texts = 0;
  for (std::int64_t run = 0; run < runs; ++run) {
    ThrowIfCancelled();
    const auto i = static_cast<std::size_t>(run) % batches.size();
    const auto start = Clock::now();
    if (options.tokenizing) {
      batches[i] = EncodeTexts(model, texts[i], options.run).encodings;
      tokenizing += MillisecondsSince(start);
    }
    session.Run(batches[i]);
    milliseconds.push_back(MillisecondsSince(start));
    num_texts += static_cast<std::int64_t>(batches[i].size());
    Report(options.run.progress, "measuring", run + 1, runs);
  }
  BenchResult result{compiled->isa(),
                     compiled->precision(),
                     threads,
                     options.run.batch,
                     "data",
                     runs,
                     PeakMemoryBytes(),
                     SummarizeLatency(milliseconds, num_texts),
                     std::nullopt};
  if (options.tokenizing) {
    result.tokenizing_share = tokenizing / (result.latency.mean * static_cast<double>(runs));
  }
  return result;
}

}  // namespace laconic
