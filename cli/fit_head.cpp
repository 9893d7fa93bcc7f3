#include "laconic/fit_head.h"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common.h"
#include "report/table.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string model;
  std::string teacher;
  std::vector<std::string> validation;
  FitHeadOptions options;
  double penalty = RefitOptions().penalty;
  DataFlags data;
  RunFlags run;
  OutputFlags output;
};

void FitFromLabels(const Flags& flags, const Model& model) {
  FitHeadOptions options = flags.options;
  options.run = flags.run.Options();
  options.columns = flags.data.Options();
  FitHeadReport report;
  const Model fitted =
      FitHead(model, flags.data.Paths(), {flags.validation.begin(), flags.validation.end()}, options, &report);
  fitted.Save(flags.output.output, flags.output.force);
  Table table({"L2", "validation loss", ""});
  nlohmann::json trials = nlohmann::json::array();
  for (const FitHeadReport::Trial& trial : report.trials) {
    table.AddRow({fmt::format("{:g}", trial.l2), fmt::format("{:.6f}", trial.validation_loss),
                  trial.l2 == report.l2 ? "chosen" : ""});
    trials.push_back({{"l2", trial.l2}, {"validation_loss", trial.validation_loss}});
  }
  const std::vector<std::string>& labels = fitted.info().labels;
  flags.output.Print(fmt::format("{}: {} labels, {} texts, {} for validation{}\nlabels: {}\n{}", flags.output.output,
                                 labels.size(), report.num_train, report.num_validation,
                                 report.converged ? "" : "; not converged", fmt::join(labels, ", "), table.ToString()));
  flags.output.WriteJson({{"schema_version", 1},
                          {"path", flags.output.output},
                          {"labels", fitted.info().labels},
                          {"train_texts", report.num_train},
                          {"validation_texts", report.num_validation},
                          {"l2", report.l2},
                          {"converged", report.converged},
                          {"trials", trials}});
}

void RefitFromTeacher(const Flags& flags, const Model& model) {
  DatasetOptions columns = flags.data.Options();
  columns.read_labels = false;
  const Dataset data = ReadDataset(flags.data.Paths(), columns);
  const Model refitted = RefitHeadToTeacher(model, Model::Load(flags.teacher), data,
                                            {.run = flags.run.Options(), .penalty = flags.penalty});
  refitted.Save(flags.output.output, flags.output.force);
  flags.output.Print(fmt::format("{}: head refitted to the logits of '{}' on {} texts\n", flags.output.output,
                                 flags.teacher, data.texts.size()));
  flags.output.WriteJson({{"schema_version", 1},
                          {"path", flags.output.output},
                          {"teacher", flags.teacher},
                          {"texts", data.texts.size()},
                          {"penalty", flags.penalty}});
}

void RunFitHead(const Flags& flags) {
  flags.output.Check();
  const Model model = Model::Load(flags.model);
  if (flags.teacher.empty()) {
    FitFromLabels(flags, model);
  } else {
    RefitFromTeacher(flags, model);
  }
}

}  // namespace

void AddFitHead(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("fit-head", "Make a classifier of an encoder in seconds, or refit a quantized model's head");
  command->add_option("MODEL", flags->model, "Model directory, or an ONNX file")->required();
  flags->output.AddModelOutput(command);
  flags->data.Add(command, true);
  CLI::Option* label_column = flags->data.AddLabelColumn(command);
  CLI::Option* validation = command->add_option("--validation", flags->validation,
                                                "Labelled texts that choose L2 (default: a tenth of --data)");
  validation->type_name("FILE...");
  CLI::Option* l2 = command->add_option("--l2", flags->options.l2s, "Strengths of L2 to choose from")->delimiter(',');
  CLI::Option* seed =
      command->add_option("--seed", flags->options.seed, "Of the tenth that is held out")->capture_default_str();
  CLI::Option* teacher = command->add_option(
      "--teacher", flags->teacher, "Refit the head to this float model's logits by least squares; needs no labels");
  for (CLI::Option* of_labels : {label_column, validation, l2, seed}) {
    teacher->excludes(of_labels);
  }
  command->add_option("--penalty", flags->penalty, "Of the refit, toward the old head")
      ->capture_default_str()
      ->needs(teacher);
  flags->run.Add(command, 32);
  flags->output.AddJson(command);
  flags->output.AddForce(command);
  command->footer(R"(Examples:
  laconic fit-head minilm --data train.json --validation validation.json -o minilm-intents
  laconic fit-head my-bert-int8 --teacher my-bert --data train.csv -o my-bert-int8-refit

Without a label column each column that holds 0 or 1 in every row is a label. One
with a gap, or mostly of 0 and 1 with a few words, is refused; one with other
numbers is none.)");
  command->callback([flags] { RunFitHead(*flags); });
}

}  // namespace laconic::cli
