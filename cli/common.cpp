#include "common.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>
#include <memory>
#include <system_error>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "formats/hf/artifact.h"
#include "laconic/error.h"
#include "workflows/batches.h"
#include "workflows/calibration_table.h"

namespace laconic::cli {
namespace {

CLI::Validator Number(const std::string& what, const std::string& type_name, bool (*is_fine)(double)) {
  return CLI::Validator(
      [what, is_fine](const std::string& text) {
        double value = 0;
        if (!CLI::detail::lexical_cast(text, value) || !is_fine(value)) {
          return "expected " + what + ", got '" + text + "'";
        }
        // Of an integer that is too large CLI11 would make the largest there is.
        std::int64_t integer = 0;
        const std::errc error = std::from_chars(text.data(), text.data() + text.size(), integer).ec;
        return error == std::errc::result_out_of_range ? "expected a number below 2^63, got '" + text + "'" : "";
      },
      type_name);
}

}  // namespace

CLI::Validator Positive() {
  return Number("a number over 0", "POSITIVE", [](double value) { return value > 0; });
}

CLI::Validator NonNegative() {
  return Number("a number of at least 0", "NONNEGATIVE", [](double value) { return value >= 0; });
}

void DataFlags::Add(CLI::App* app, bool required, const std::string& flag) {
  CLI::Option* data = app->add_option(flag, paths,
                                      "Texts: .csv, .tsv, .json or .jsonl files (several are read one after another), "
                                      "or - for standard input");
  data->required(required)->type_name("FILE...");
  app->add_option("--data-format", format,
                  "csv, tsv, tsv-plain (quotes are text, as in GLUE's files) or json, where the name does not say it")
      ->needs(data);
  app->add_option("--text-column", text_column, "Column of the text (default: text, sentence or sentence1)")
      ->needs(data);
  app->add_option("--text-pair-column", second_text_column, "Column of a second text (default: text_pair, sentence2)")
      ->needs(data);
}

CLI::Option* DataFlags::AddLabelColumn(CLI::App* app) {
  return app->add_option("--label-column", label_column,
                         "Column of the label or labels (default: label, labels or intents; else one column of 0 and 1 "
                         "for each label)");
}

DatasetOptions DataFlags::Options() const {
  DatasetOptions options;
  if (!format.empty()) {
    options.format = ParseDataFormat(format);
  }
  options.text_column = text_column;
  options.second_text_column = second_text_column;
  options.label_column = label_column;
  return options;
}

NextRowFn DataFlags::Rows(std::int64_t limit) const {
  DatasetOptions options = Options();
  options.read_labels = false;
  auto reader = std::make_shared<DatasetReader>(Paths(), options);
  return [reader, limit, num_read = std::int64_t{0}]() mutable -> std::optional<DatasetRow> {
    if (limit > 0 && num_read == limit) {
      return std::nullopt;
    }
    ++num_read;
    return reader->Next();
  };
}

DataFlags::Sample DataFlags::CalibrationTexts(std::int64_t batches, std::int64_t batch) const {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  DatasetOptions options = Options();
  options.read_labels = false;
  auto reader = std::make_shared<EvenRowReader>(Paths(), options, batches > kMax / batch ? kMax : batches * batch);
  return {[reader] { return reader->Next(); }, reader->num_rows()};
}

CLI::Option* AddCalibrationBatches(CLI::App* app, std::int64_t* batches) {
  return app
      ->add_option("--calibration-batches", *batches,
                   "Use N batches of texts only, spread evenly over the files; of standard input the first (0: all)")
      ->check(NonNegative());
}

void RunFlags::Add(CLI::App* app, std::int64_t default_batch) {
  batch = default_batch;
  app->add_option("--batch", batch, "Texts run together")->capture_default_str()->check(Positive());
  app->add_option("--threads", threads, "Threads (default: as many as this process may use)")->check(Positive());
  app->add_option("--max-length", max_length, "Tokens a text is cut to (default: what the model allows)")
      ->check(Positive());
}

void RunFlags::AddPackCache(CLI::App* app) {
  app->add_flag("--pack-cache", pack_cache,
                "Keep packed weights in a file beside the model, so that the next start need not pack them");
}

CLI::Option* AddPrecision(CLI::App* app, std::string* precision, const std::string& where) {
  return app
      ->add_option("--precision", *precision,
                   "What attention and float layers round to before they multiply: f32, bf16, or auto, which is bf16 "
                   "where this CPU is faster in it" +
                       where)
      ->capture_default_str();
}

RunOptions RunFlags::Options() const {
  return {.batch = batch,
          .threads = threads,
          .max_length = max_length,
          .progress = MakeTerminalProgress(),
          .compile = {.precision = precision, .pack_cache = pack_cache, .note = Note}};
}

void OutputFlags::AddOutput(CLI::App* app, const std::string& what, bool required) {
  app->add_option("-o,--output", output, what)->required(required);
}

void OutputFlags::AddModelOutput(CLI::App* app) {
  AddOutput(app, "Directory to write", true);
  is_model = true;
}

void OutputFlags::AddJson(CLI::App* app) {
  app->add_option("--json", json, "Also write the result as JSON (- for standard output)")->type_name("FILE");
}

void OutputFlags::AddForce(CLI::App* app, const std::string& what) { app->add_flag("--force", force, what); }

void OutputFlags::Check() const {
  // By what will write them: not committed, it leaves nothing.
  if (is_model) {
    hf::StageArtifact(output, force);
  } else if (!output.empty()) {
    AtomicFile(output, force);
  }
  if (!json.empty()) {
    AtomicFile(json, true);
  }
}

void OutputFlags::WriteJson(const nlohmann::json& value) const {
  if (json.empty()) {
    return;
  }
  AtomicFile file(json, true);
  // A name from a file need not be valid UTF-8; NaN becomes null.
  file.Write(value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  file.Commit();
}

void OutputFlags::Print(const std::string& text) const {
  const bool is_taken = json == "-" || output == "-";
  if (std::fputs(text.c_str(), is_taken ? stderr : stdout) < 0 || std::fflush(is_taken ? stderr : stdout) != 0) {
    FailErrno("cannot write", is_taken ? "standard error" : "standard output");
  }
}

nlohmann::json ToJson(const ClassificationMetrics& metrics, const std::vector<std::string>& labels) {
  nlohmann::json per_label = nlohmann::json::object();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const LabelMetrics& label = metrics.labels[i];
    per_label[labels[i]] = {{"precision", label.precision},
                            {"recall", label.recall},
                            {"f1", label.f1},
                            {"roc_auc", OrNull(label.roc_auc)},
                            {"support", label.support}};
  }
  return {{"accuracy", metrics.accuracy},
          {"micro_f1", metrics.micro_f1},
          {"macro_f1", metrics.macro_f1},
          {"macro_roc_auc", OrNull(metrics.macro_roc_auc)},
          {"labels", per_label}};
}

nlohmann::json ToJson(const LatencySummary& latency) {
  return {
      {"mean", latency.mean}, {"std", latency.std}, {"p50", latency.p50}, {"p95", latency.p95}, {"p99", latency.p99}};
}

nlohmann::json ToJson(const TensorBytes& bytes) {
  return {{"linear", bytes.linear}, {"embedding", bytes.embedding}, {"other", bytes.other}};
}

nlohmann::json ToJson(const ValuePlace& place) {
  nlohmann::json json = {{"text", place.text}};
  if (place.token >= 0) {
    json["token"] = place.token;
  }
  return json;
}

std::string ToString(const ValuePlace& place) {
  return place.token < 0 ? fmt::format("text {}", place.text)
                         : fmt::format("text {} token {}", place.text, place.token);
}

QConfig ReadQConfig(const std::string& name, QConfigUse use, const nlohmann::ordered_json& edits) {
  const std::vector<std::string_view> presets = KnownPresets();
  const bool is_preset = std::ranges::find(presets, name) != presets.end();
  if (!is_preset && !Exists(name)) {
    Fail(ErrorCode::kNotFound, "no file '", name,
         "', and no preset of that name; presets: ", fmt::format("{}", fmt::join(presets, ", ")));
  }
  constexpr std::int64_t kMaxBytes = std::int64_t{16} << 20;
  const auto read = [&] {
    nlohmann::ordered_json json = is_preset ? nlohmann::ordered_json{{"preset", name}}
                                            : nlohmann::ordered_json(ParseJson(ReadFile(name, kMaxBytes)));
    if (json.is_object()) {
      json.merge_patch(edits);
    }
    return ParseQConfig(json.dump(), use);
  };
  return is_preset ? read() : WithFrame([&] { return "file '" + name + "'"; }, read);
}

std::string Bytes(std::int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= 1'000'000) {
    return fmt::format("{:.1f} MB", value / 1e6);
  }
  return bytes >= 1'000 ? fmt::format("{:.1f} kB", value / 1e3) : fmt::format("{} B", bytes);
}

std::string Percent(double share) { return fmt::format("{:.2f} %", 100 * share); }

std::string Milliseconds(double milliseconds) { return fmt::format("{:.3f}", milliseconds); }

void Note(const std::string& text) { std::fputs(("note: " + text + "\n").c_str(), stderr); }

void NoteMissingShards(const CalibrationTable& table, const std::string& path) {
  if (const std::string missing = MissingShards(table); !missing.empty()) {
    Note(fmt::format("{} lacks shards of its texts: {}", path, missing));
  }
}

void NoteTruncation(std::int64_t num_truncated, std::int64_t num_texts, const Model& tokenizing,
                    const RunOptions& run) {
  if (num_truncated > 0) {
    Note(fmt::format("{} of {} texts were cut to {} tokens", num_truncated, num_texts, MaxLength(tokenizing, run)));
  }
}

}  // namespace laconic::cli
