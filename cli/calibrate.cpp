#include "laconic/calibrate.h"

#include <charconv>
#include <filesystem>
#include <memory>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "common.h"
#include "laconic/error.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string model;
  std::vector<std::string> merge;
  std::string qconfig = "laconic";
  std::string shard;
  std::int64_t batches = 0;
  CalibrateOptions options;
  DataFlags data;
  RunFlags run;
  OutputFlags output;
};

void ParseShard(const std::string& text, CalibrateOptions* options) {
  const char* const end = text.data() + text.size();
  const auto is_number = [](const std::from_chars_result& read) { return read.ec == std::errc(); };
  const auto shard = std::from_chars(text.data(), end, options->shard);
  const bool has_slash = is_number(shard) && shard.ptr != end && *shard.ptr == '/';
  const auto count = std::from_chars(has_slash ? shard.ptr + 1 : end, end, options->num_shards);
  if (!is_number(count) || count.ptr != end || options->num_shards < 1) {
    Fail(ErrorCode::kInvalidArgument, "--shard: expected i/n with i from 0 to n - 1, got '", text, "'");
  }
}

CalibrationTable Merge(const Flags& flags) {
  if (!flags.model.empty() || !flags.data.paths.empty()) {
    Fail(ErrorCode::kInvalidArgument, "--merge needs tables only, neither MODEL nor --data");
  }
  std::vector<CalibrationTable> tables;
  for (const std::string& path : flags.merge) {
    tables.push_back(CalibrationTable::Load(path));
  }
  return CalibrationTable::Merge(tables);
}

// Where an interrupted run leaves what it has; empty for one that leaves nothing.
std::filesystem::path CheckpointOf(const Flags& flags) {
  return flags.output.output == "-" || !flags.merge.empty() ? "" : flags.output.output + ".partial";
}

void RemoveCheckpoint(const Flags& flags) {
  std::error_code ignored;
  std::filesystem::remove(CheckpointOf(flags), ignored);
}

CalibrationTable Make(const Flags& flags) {
  if (flags.model.empty() || flags.data.paths.empty()) {
    Fail(ErrorCode::kInvalidArgument, "expected MODEL and --data, or --merge and tables");
  }
  CalibrateOptions options = flags.options;
  options.qconfig = ReadQConfig(flags.qconfig, {}, nlohmann::ordered_json::object());
  options.run = flags.run.Options();
  if (!flags.shard.empty()) {
    ParseShard(flags.shard, &options);
  }
  options.checkpoint = CheckpointOf(flags);
  const DataFlags::Sample texts = flags.data.CalibrationTexts(flags.batches, flags.run.batch);
  const Model model = Model::Load(flags.model);
  if (flags.output.force) {
    RemoveCheckpoint(flags);
  }
  return MakeCalibrationTable(model, texts.next, options);
}

void RunCalibrate(const Flags& flags) {
  flags.output.Check();
  const CalibrationTable table = flags.merge.empty() ? Make(flags) : Merge(flags);
  AtomicFile file(flags.output.output, flags.output.force);
  file.Write(table.Print());
  file.Commit();
  RemoveCheckpoint(flags);
  if (!flags.merge.empty()) {
    NoteMissingShards(table, flags.output.output);
  }
  flags.output.Print(fmt::format("{}: {} values observed on {} texts\n", flags.output.output,
                                 table.value_names().size(), table.num_texts()));
  flags.output.WriteJson({{"schema_version", 1},
                          {"path", flags.output.output},
                          {"texts", table.num_texts()},
                          {"values", table.value_names()},
                          {"elements", table.num_elements()}});
}

}  // namespace

void AddCalibrate(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("calibrate", "Observe what a model's linear layers read, and keep it in a table");
  command->add_option("MODEL", flags->model, "Float model: a directory, or an ONNX file");
  flags->output.AddOutput(command,
                          "Table to write; an interrupted run leaves it with .partial added, and goes on there", true);
  flags->data.Add(command, false);
  CLI::Option* merge =
      command->add_option("--merge", flags->merge, "Join tables of one model, as of all shards of a data set");
  merge->type_name("TABLE...");
  command
      ->add_option("--qconfig", flags->qconfig,
                   "Whose observers: laconic, onnxruntime, fbgemm, qnnpack, x86, onednn, or a JSON file")
      ->capture_default_str();
  command->add_option("--include", flags->options.include, "Only layers of these names (patterns: * and ?)")
      ->delimiter(',');
  command->add_option("--exclude", flags->options.exclude, "Not the layers of these names; wins over --include")
      ->delimiter(',');
  command->add_option("--shard", flags->shard, "i/n: only texts i, i + n, i + 2n, ... (i from 0)");
  AddCalibrationBatches(command, &flags->batches)->needs("--data");
  flags->run.Add(command, 32);
  for (const char* of_texts : {"--qconfig", "--include", "--exclude", "--shard", "--batch", "--max-length"}) {
    merge->excludes(of_texts);
  }
  flags->output.AddJson(command);
  flags->output.AddForce(command, "Replace what exists; an interrupted run starts anew");
  command->footer(R"(Examples:
  laconic calibrate my-bert --data train.csv -o table.json
  laconic calibrate my-bert --data train.csv --shard 0/2 -o 0.json
  laconic calibrate --merge 0.json 1.json -o table.json)");
  command->callback([flags] { RunCalibrate(*flags); });
}

}  // namespace laconic::cli
