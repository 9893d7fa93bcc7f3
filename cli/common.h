// What the subcommands share: flags of one meaning, JSON output, tables of figures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "laconic/calibrate.h"
#include "laconic/compare.h"
#include "laconic/diff.h"
#include "laconic/evaluate.h"
#include "laconic/qconfig.h"

namespace laconic::cli {

// One subcommand: declares its flags on `app` and sets what runs when it is chosen. One file each.
void AddBench(CLI::App& app);
void AddCalibrate(CLI::App& app);
void AddCertify(CLI::App& app);
void AddCompare(CLI::App& app);
void AddDiff(CLI::App& app);
void AddEval(CLI::App& app);
void AddExport(CLI::App& app);
void AddFitHead(CLI::App& app);
void AddInspect(CLI::App& app);
void AddPredict(CLI::App& app);
void AddQuantize(CLI::App& app);

// The exit status of a command that found what it was told to look for; main's footer lists all.
inline constexpr int kLimitExceeded = 8;

// Numbers over 0, and from 0: CLI11's own refuse others by naming the largest double in full.
CLI::Validator Positive();
CLI::Validator NonNegative();

// Where texts and labels are.
struct DataFlags {
  std::vector<std::string> paths;
  std::string format, text_column, second_text_column, label_column;

  // `flag`: the one that names the files.
  void Add(CLI::App* app, bool required, const std::string& flag = "--data");
  // For commands that read labels.
  CLI::Option* AddLabelColumn(CLI::App* app);
  DatasetOptions Options() const;
  // The texts alone, one after another; the first `limit` of them (0: all).
  NextRowFn Rows(std::int64_t limit = 0) const;
  // The texts to calibrate with: `batches` of `batch`, spread evenly (EvenRowReader); 0: all.
  struct Sample {
    NextRowFn next;
    std::int64_t num_rows = 0;
  };
  Sample CalibrationTexts(std::int64_t batches, std::int64_t batch) const;
  std::vector<std::filesystem::path> Paths() const { return {paths.begin(), paths.end()}; }
};

// --calibration-batches.
CLI::Option* AddCalibrationBatches(CLI::App* app, std::int64_t* batches);

// How a model is run.
struct RunFlags {
  std::int64_t batch = 32;
  int threads = 0;
  std::int64_t max_length = 0;
  std::string precision = "f32";
  bool pack_cache = false;

  void Add(CLI::App* app, std::int64_t default_batch);
  void AddPackCache(CLI::App* app);
  RunOptions Options() const;
};

// --precision, CompileOptions. `where`: what it holds for, if not the whole command.
CLI::Option* AddPrecision(CLI::App* app, std::string* precision, const std::string& where = "");

// Where results go.
struct OutputFlags {
  std::string output;
  std::string json;
  bool is_model = false;
  bool force = false;

  void AddOutput(CLI::App* app, const std::string& what, bool required);
  void AddModelOutput(CLI::App* app);  // a directory that Model::Save writes
  void AddJson(CLI::App* app);
  void AddForce(CLI::App* app, const std::string& what = "Replace what exists");
  // Before any work: a name that is taken or cannot be written must not cost minutes. Errors: kInvalidArgument,
  // kNotFound, kIo.
  void Check() const;
  // Writes `value` to --json's file, if given ("-": standard output).
  void WriteJson(const nlohmann::json& value) const;
  // To standard output, or to standard error where that is taken by results. Errors: kIo, kResource.
  void Print(const std::string& text) const;
};

nlohmann::json ToJson(const ClassificationMetrics& metrics, const std::vector<std::string>& labels);
nlohmann::json ToJson(const LatencySummary& latency);
nlohmann::json ToJson(const TensorBytes& bytes);
nlohmann::json ToJson(const ValuePlace& place);
std::string ToString(const ValuePlace& place);  // "text 3 token 7"

template <typename T>
nlohmann::json OrNull(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

// --qconfig: a preset's name, or a file; `edits` is merged into its JSON first. Errors: as ParseQConfig.
QConfig ReadQConfig(const std::string& name, QConfigUse use, const nlohmann::ordered_json& edits);

std::string Bytes(std::int64_t bytes);          // "23.1 MB"
std::string Percent(double share);              // "89.24 %"
std::string Milliseconds(double milliseconds);  // "1.234"

// On standard error, as what is not an error.
void Note(const std::string& text);

// "table.json lacks shards of its texts: 1/3" on standard error, if it does.
void NoteMissingShards(const CalibrationTable& table, const std::string& path);

// "3 of 1821 texts were cut to 96 tokens" on standard error, if any were. `tokenizing`: the model that did it.
void NoteTruncation(std::int64_t num_truncated, std::int64_t num_texts, const Model& tokenizing, const RunOptions& run);

}  // namespace laconic::cli
