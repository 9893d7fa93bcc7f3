#include "laconic/compare.h"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common.h"
#include "report/table.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string base;
  std::vector<std::string> candidates;
  DataFlags data;
  RunFlags run;
  OutputFlags output;
};

nlohmann::json ToJson(const ComparedModel& model, const std::vector<std::string>& labels) {
  return {{"path", model.path},
          {"method", model.method},
          {"precision", model.precision},
          {"disk_bytes", model.disk_bytes},
          {"stored_tensor_bytes", model.stored_bytes},
          {"tensor_bytes", cli::ToJson(model.tensor_bytes)},
          {"memory_bytes", model.memory_bytes},
          {"compression_ratio", model.compression_ratio},
          {"size_reduction_percent", model.size_reduction_percent},
          {"metrics", cli::ToJson(model.metrics, labels)},
          {"predictions_changed", model.change.predictions_changed},
          {"predictions_total", model.change.predictions_total},
          {"texts_changed", model.change.texts_changed},
          {"mean_abs_logit_difference", model.change.mean_abs_difference},
          {"max_abs_logit_difference", model.change.max_abs_difference},
          {"latency_ms", cli::ToJson(model.latency)},
          {"throughput_per_s", model.latency.throughput_per_s}};
}

std::string AccuracyTable(const Comparison& comparison) {
  Table table(
      {"model", "method", "precision", "accuracy", "micro-F1", "macro-F1", "changed", "texts", "mean |d|", "max |d|"});
  for (const ComparedModel& model : comparison.models) {
    table.AddRow({model.path, model.method, model.precision, Percent(model.metrics.accuracy),
                  fmt::format("{:.4f}", model.metrics.micro_f1), fmt::format("{:.4f}", model.metrics.macro_f1),
                  fmt::format("{} of {}", model.change.predictions_changed, model.change.predictions_total),
                  fmt::format("{}", model.change.texts_changed),
                  fmt::format("{:.4f}", model.change.mean_abs_difference),
                  fmt::format("{:.3f}", model.change.max_abs_difference)});
  }
  return table.ToString();
}

std::string SizeTable(const Comparison& comparison) {
  Table table({"model", "on disk", "smaller by", "linear", "embedding", "other", "in memory", "times smaller"});
  for (const ComparedModel& model : comparison.models) {
    table.AddRow({model.path, Bytes(model.disk_bytes), fmt::format("{:.1f} %", model.size_reduction_percent),
                  Bytes(model.tensor_bytes.linear), Bytes(model.tensor_bytes.embedding),
                  Bytes(model.tensor_bytes.other), Bytes(model.memory_bytes),
                  fmt::format("{:.2f}", model.compression_ratio)});
  }
  return table.ToString();
}

std::string LatencyTable(const Comparison& comparison) {
  Table table({"model", "mean ms", "std", "p50", "p95", "p99", "texts/s", "times faster"});
  for (const ComparedModel& model : comparison.models) {
    const LatencySummary& latency = model.latency;
    table.AddRow({model.path, Milliseconds(latency.mean), Milliseconds(latency.std), Milliseconds(latency.p50),
                  Milliseconds(latency.p95), Milliseconds(latency.p99), fmt::format("{:.1f}", latency.throughput_per_s),
                  fmt::format("{:.2f}", comparison.models[0].latency.p50 / latency.p50)});
  }
  return table.ToString();
}

void RunCompare(const Flags& flags) {
  flags.output.Check();
  std::vector<Model> models = {Model::Load(flags.base)};
  for (const std::string& candidate : flags.candidates) {
    models.push_back(Model::Load(candidate));
  }
  const LabelledData data = ReadLabelledData(models[0], flags.data.Paths(), flags.data.Options());
  const RunOptions options = flags.run.Options();
  const Comparison comparison = CompareModels(models, data, options);
  NoteTruncation(comparison.num_truncated, comparison.num_texts, models[0], options);
  flags.output.Print(
      fmt::format("Accuracy on {} texts (changed: predictions that differ from the first model's, and texts with any; "
                  "|d|: of logits)\n{}\n"
                  "Size (tensors by class as loaded; times smaller: than the first model in float32)\n{}\n"
                  "Latency of batches of {}, {} thread{}, {}, token ids to logits\n{}",
                  comparison.num_texts, AccuracyTable(comparison), SizeTable(comparison), comparison.batch,
                  comparison.threads, comparison.threads == 1 ? "" : "s", comparison.isa, LatencyTable(comparison)));
  nlohmann::json rows = nlohmann::json::array();
  for (const ComparedModel& model : comparison.models) {
    rows.push_back(ToJson(model, comparison.labels));
  }
  flags.output.WriteJson(
      {{"schema_version", 1},
       {"data", flags.data.paths.size() == 1 ? nlohmann::json(flags.data.paths[0]) : nlohmann::json(flags.data.paths)},
       {"texts", comparison.num_texts},
       {"truncated", comparison.num_truncated},
       {"batch", comparison.batch},
       {"threads", comparison.threads},
       {"isa", comparison.isa},
       {"models", rows}});
}

}  // namespace

void AddCompare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("compare", "Bytes, latency and accuracy of models side by side");
  command->add_option("BASE", flags->base, "The original")->required();
  command->add_option("CANDIDATE", flags->candidates, "Models to compare with it")->required();
  flags->data.Add(command, true);
  flags->data.AddLabelColumn(command);
  flags->run.Add(command, 1);
  AddPrecision(command, &flags->run.precision, " (of the candidates; BASE runs in f32)");
  flags->output.AddJson(command);
  command->footer(
      "Examples:\n  laconic compare my-bert my-bert-int8 --data test.csv --json compare.json\n"
      "  laconic compare my-bert my-bert --data test.csv --precision bf16");
  command->callback([flags] { RunCompare(*flags); });
}

}  // namespace laconic::cli
