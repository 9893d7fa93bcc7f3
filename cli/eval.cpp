#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common.h"
#include "laconic/compare.h"
#include "laconic/evaluate.h"
#include "report/table.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string model;
  DataFlags data;
  RunFlags run;
  OutputFlags output;
};

std::string LabelTable(const ClassificationMetrics& metrics, const std::vector<std::string>& labels) {
  Table table({"label", "support", "precision", "recall", "F1", "ROC-AUC"});
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const LabelMetrics& label = metrics.labels[i];
    table.AddRow({labels[i], fmt::format("{}", label.support), fmt::format("{:.4f}", label.precision),
                  fmt::format("{:.4f}", label.recall), fmt::format("{:.4f}", label.f1),
                  label.roc_auc ? fmt::format("{:.4f}", *label.roc_auc) : "-"});
  }
  return table.ToString();
}

void RunEval(const Flags& flags) {
  flags.output.Check();
  const Model model = Model::Load(flags.model);
  const LabelledData data = ReadLabelledData(model, flags.data.Paths(), flags.data.Options());
  const RunOptions options = flags.run.Options();
  const Evaluation evaluation = Evaluate(model, data, options);
  NoteTruncation(evaluation.num_truncated, evaluation.num_texts, model, options);
  const ClassificationMetrics& metrics = evaluation.metrics;
  flags.output.Print(fmt::format("{}\n{} texts, accuracy {}, micro-F1 {:.4f}, macro-F1 {:.4f}\n",
                                 LabelTable(metrics, model.info().labels), evaluation.num_texts,
                                 Percent(metrics.accuracy), metrics.micro_f1, metrics.macro_f1));
  flags.output.WriteJson({{"schema_version", 1},
                          {"path", flags.model},
                          {"method", MethodOf(model)},
                          {"texts", evaluation.num_texts},
                          {"truncated", evaluation.num_truncated},
                          {"metrics", ToJson(metrics, model.info().labels)}});
}

}  // namespace

void AddEval(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("eval", "How often a model is right on labelled texts");
  command->add_option("MODEL", flags->model, "Model directory, or an ONNX file")->required();
  flags->data.Add(command, true);
  flags->data.AddLabelColumn(command);
  flags->run.Add(command, 32);
  AddPrecision(command, &flags->run.precision);
  flags->run.AddPackCache(command);
  flags->output.AddJson(command);
  command->footer("Example:\n  laconic eval my-bert-int8 --data test.csv --json eval.json");
  command->callback([flags] { RunEval(*flags); });
}

}  // namespace laconic::cli
