#include "laconic/predict.h"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "common.h"
#include "laconic/error.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string model;
  std::vector<std::string> texts;
  DataFlags data;
  RunFlags run;
  OutputFlags output;
};

NextRowFn RowsOf(const Flags& flags) {
  if (flags.texts.empty() == flags.data.paths.empty()) {
    Fail(ErrorCode::kInvalidArgument, "give either --data or --text");
  }
  if (!flags.texts.empty()) {
    auto next = std::make_shared<std::size_t>(0);
    return [&flags, next]() -> std::optional<DatasetRow> {
      if (*next == flags.texts.size()) {
        return std::nullopt;
      }
      return DatasetRow{flags.texts[(*next)++], std::nullopt, {}};
    };
  }
  return flags.data.Rows();
}

std::string Line(const Prediction& prediction, const std::vector<std::string>& labels) {
  nlohmann::ordered_json names = nlohmann::ordered_json::array();
  for (const std::int64_t label : prediction.labels) {
    names.push_back(labels[static_cast<std::size_t>(label)]);
  }
  nlohmann::ordered_json probabilities = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    probabilities[labels[i]] = prediction.probabilities[i];
  }
  const nlohmann::ordered_json line = {{"labels", names}, {"probabilities", probabilities}};
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void RunPredict(const Flags& flags) {
  const NextRowFn next = RowsOf(flags);
  AtomicFile file(flags.output.output.empty() ? "-" : flags.output.output, flags.output.force);
  const Model model = Model::Load(flags.model);
  if (!model.info().problem_is_stated && !model.info().labels.empty()) {
    Note("the model does not say its problem_type; taken for single_label_classification");
  }
  const RunOptions options = flags.run.Options();
  const PredictSummary summary = Predict(
      model, next, [&](const Prediction& prediction) { file.Write(Line(prediction, model.info().labels)); }, options);
  file.Commit();
  NoteTruncation(summary.num_truncated, summary.num_texts, model, options);
}

}  // namespace

void AddPredict(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("predict", "Labels and probabilities, one JSON object a line");
  command->add_option("MODEL", flags->model, "Model directory, or an ONNX file")->required();
  flags->data.Add(command, false);
  command->add_option("--text", flags->texts, "A text (may be given several times)")->allow_extra_args(false);
  flags->run.Add(command, 32);
  AddPrecision(command, &flags->run.precision);
  flags->run.AddPackCache(command);
  flags->output.AddOutput(command, "File to write (default: standard output)", false);
  flags->output.AddForce(command);
  command->footer(R"(Examples:
  laconic predict my-bert-int8 --text 'what a lovely day'
  laconic predict my-bert-int8 --data texts.jsonl -o labels.jsonl
  cat texts.jsonl | laconic predict my-bert-int8 --data - --data-format json)");
  command->callback([flags] { RunPredict(*flags); });
}

}  // namespace laconic::cli
