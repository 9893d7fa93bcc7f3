#include "laconic/bench.h"

#include <charconv>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common.h"
#include "laconic/error.h"
#include "report/table.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string model;
  std::string length = "128";
  std::int64_t iterations = 0;
  int warm_ups = kWarmUps;
  std::uint64_t seed = 0;
  bool tokenizing = false;
  DataFlags data;
  RunFlags run;
  OutputFlags output;
};

std::int64_t ParseInteger(std::string_view text, std::string_view whole) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) {
    Fail(ErrorCode::kInvalidArgument, "--length: expected a number like 128, or a range like 8-128, got '", whole, "'");
  }
  return value;
}

BenchOptions ParseOptions(const Flags& flags) {
  BenchOptions options{
      .run = flags.run.Options(), .iterations = flags.iterations, .warm_ups = flags.warm_ups, .seed = flags.seed};
  const std::size_t dash = flags.length.find('-');
  options.length = ParseInteger(std::string_view(flags.length).substr(0, dash), flags.length);
  if (dash != std::string::npos) {
    options.last_length = ParseInteger(std::string_view(flags.length).substr(dash + 1), flags.length);
  }
  return options;
}

BenchResult Measure(const Flags& flags) {
  const Model model = Model::Load(flags.model);
  if (flags.data.paths.empty()) {
    return BenchRandomTokens(model, ParseOptions(flags));
  }
  DatasetOptions columns = flags.data.Options();
  columns.read_labels = false;
  return BenchDataset(model, ReadDataset(flags.data.Paths(), columns),
                      {flags.run.Options(), flags.iterations, flags.warm_ups, flags.tokenizing});
}

void RunBench(const Flags& flags) {
  flags.output.Check();
  const BenchResult result = Measure(flags);
  const LatencySummary& latency = result.latency;
  Table table({"isa", "precision", "threads", "batch", "length", "runs", "mean ms", "std", "p50", "p95", "p99",
               "texts/s", "peak memory"});
  table.AddRow({result.isa, result.precision, fmt::format("{}", result.threads), fmt::format("{}", result.batch),
                result.length, fmt::format("{}", result.num_runs), Milliseconds(latency.mean),
                Milliseconds(latency.std), Milliseconds(latency.p50), Milliseconds(latency.p95),
                Milliseconds(latency.p99), fmt::format("{:.1f}", latency.throughput_per_s),
                Bytes(result.peak_memory_bytes)});
  flags.output.Print(table.ToString());
  if (result.tokenizing_share) {
    flags.output.Print(fmt::format("of the time, tokenizing took {}\n", Percent(*result.tokenizing_share)));
  }
  nlohmann::json report = {{"schema_version", 1},
                           {"path", flags.model},
                           {"isa", result.isa},
                           {"precision", result.precision},
                           {"threads", result.threads},
                           {"batch", result.batch},
                           {"length", result.length},
                           {"runs", result.num_runs},
                           {"latency_ms", ToJson(latency)},
                           {"throughput_per_s", latency.throughput_per_s},
                           {"peak_memory_bytes", result.peak_memory_bytes}};
  if (result.tokenizing_share) {
    report["tokenizing_share"] = *result.tokenizing_share;
  }
  flags.output.WriteJson(report);
}

}  // namespace

void AddBench(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("bench", "How fast a model runs here, from token ids or texts to logits");
  command->add_option("MODEL", flags->model, "Model directory, or an ONNX file")->required();
  flags->run.Add(command, 1);
  AddPrecision(command, &flags->run.precision);
  flags->run.AddPackCache(command);
  CLI::Option* length =
      command->add_option("--length", flags->length, "Tokens a text, or a range to spread a batch over (8-128)")
          ->capture_default_str();
  command->add_option("--iterations", flags->iterations, "Runs (default: a second's worth; each batch of --data once)")
      ->check(Positive());
  command->add_option("--warm-ups", flags->warm_ups, "Runs that go first, unmeasured")
      ->capture_default_str()
      ->check(NonNegative());
  CLI::Option* seed = command->add_option("--seed", flags->seed, "Of the random token ids")
                          ->capture_default_str()
                          ->check(NonNegative());
  flags->data.Add(command, false);
  command->get_option("--data")->excludes(length)->excludes(seed);
  command->get_option("--max-length")->needs("--data");
  command->add_flag("--tokenizing", flags->tokenizing, "Measure from texts to logits")->needs("--data");
  flags->output.AddJson(command);
  command->footer(R"(Examples:
  laconic bench my-bert-int8 --batch 1 --length 128 --threads 1
  laconic bench my-bert-int8 --batch 16 --length 8-128 --precision auto
  laconic bench my-bert-int8 --data test.csv --batch 8 --tokenizing
  LACONIC_FORCE_ISA=avx2 laconic bench my-bert-int8       # kernels of that level, see laconic --help)");
  command->callback([flags] { RunBench(*flags); });
}

}  // namespace laconic::cli
