#include "laconic/certify.h"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common.h"
#include "laconic/model.h"
#include "report/table.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string model;
  DataFlags data;
  std::int64_t limit = 0;
  bool strict = false;
  RunFlags run;
  OutputFlags output;
};

std::string Example(const SaturationExample& example) {
  return fmt::format("{} channel {} inputs {}, {}: {}", cli::ToString(example.place), example.channel, example.k,
                     example.k + 1, example.sum);
}

std::string LayerTable(const Certificate& certificate) {
  const bool has_data = certificate.num_texts > 0;
  std::vector<std::string> header = {"layer", "weight pairs", "at worst"};
  if (has_data) {
    header.insert(header.end(), {"sums on data", "saturated", "first"});
  }
  header.emplace_back("safe");
  Table table(header);
  for (const LayerCertificate& layer : certificate.layers) {
    std::vector<std::string> cells = {layer.layer, fmt::format("{}", layer.num_pairs),
                                      fmt::format("{}", layer.num_risky)};
    if (has_data) {
      cells.insert(cells.end(), {fmt::format("{}", layer.num_sums), fmt::format("{}", layer.num_saturated),
                                 layer.first ? Example(*layer.first) : ""});
    }
    cells.emplace_back(layer.is_widened ? "yes (u8 weights are widened)" : std::string(ToString(layer.safety)));
    table.AddRow(std::move(cells));
  }
  return table.ToString();
}

std::string Report(const Certificate& certificate) {
  std::string text = fmt::format("Safe on AVX2 and AVX-512 without VNNI: {}\n", ToString(certificate.safety));
  if (certificate.safety == Safety::kSaturates) {
    const LogitComparison& change = certificate.change;
    text += fmt::format("Answers there: {} of {} predictions differ; logits by {:.4f} on average, {:.3f} at most\n",
                        change.predictions_changed, change.predictions_total, change.mean_abs_difference,
                        change.max_abs_difference);
  }
  if (certificate.num_not_checked > 0) {
    text += fmt::format("Not checked: {} integer products that are no linear layers\n", certificate.num_not_checked);
  }
  text += "\n" + LayerTable(certificate);
  if (!certificate.slow.empty()) {
    text += "\nSlower than it could be\n";
    for (const SlowPattern& slow : certificate.slow) {
      text += fmt::format("  {}: {} nodes, the first {}: {}\n", slow.rule, slow.count, slow.node, slow.reason);
    }
  }
  return text;
}

nlohmann::json ToJson(const LayerCertificate& layer) {
  nlohmann::json json = {{"layer", layer.layer},
                         {"safe", ToString(layer.safety)},
                         {"widened", layer.is_widened},
                         {"pairs", layer.num_pairs},
                         {"pairs_at_worst", layer.num_risky},
                         {"sums", layer.num_sums},
                         {"saturated", layer.num_saturated},
                         {"first", nullptr}};
  if (layer.first) {
    json["first"] = cli::ToJson(layer.first->place);
    json["first"].update({{"channel", layer.first->channel}, {"input", layer.first->k}, {"sum", layer.first->sum}});
  }
  return json;
}

nlohmann::json ToJson(const Flags& flags, const Certificate& certificate) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerCertificate& layer : certificate.layers) {
    layers.push_back(ToJson(layer));
  }
  nlohmann::json slow = nlohmann::json::array();
  for (const SlowPattern& pattern : certificate.slow) {
    slow.push_back(
        {{"rule", pattern.rule}, {"node", pattern.node}, {"nodes", pattern.count}, {"reason", pattern.reason}});
  }
  return {{"schema_version", 1},
          {"model", flags.model},
          {"safe", ToString(certificate.safety)},
          {"texts", certificate.num_texts},
          {"truncated", certificate.num_truncated},
          {"not_checked", certificate.num_not_checked},
          {"predictions_changed", certificate.change.predictions_changed},
          {"predictions_total", certificate.change.predictions_total},
          {"mean_abs_logit_difference", certificate.change.mean_abs_difference},
          {"max_abs_logit_difference", certificate.change.max_abs_difference},
          {"layers", layers},
          {"slow", slow}};
}

void RunCertify(const Flags& flags) {
  flags.output.Check();
  const Model model = Model::Load(flags.model);
  const RunOptions run = flags.run.Options();
  const NextRowFn next = flags.data.paths.empty() ? NextRowFn() : flags.data.Rows(flags.limit);
  const Certificate certificate = Certify(model, next, run);
  NoteTruncation(certificate.num_truncated, certificate.num_texts, model, run);
  flags.output.Print(Report(certificate));
  flags.output.WriteJson(ToJson(flags, certificate));
  const Safety enough = flags.data.paths.empty() ? Safety::kSafe : Safety::kSafeOnData;
  if (flags.strict && certificate.safety > enough) {
    throw CLI::RuntimeError(kLimitExceeded);
  }
}

}  // namespace

void AddCertify(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand(
      "certify", "Whether INT8 sums can saturate on x86 without VNNI, told without such a CPU; what will be slow");
  command->add_option("MODEL", flags->model, "Quantized model: an artifact or an ONNX file")->required();
  flags->data.Add(command, false);
  command->add_option("--limit", flags->limit, "Read no more than the first N texts")
      ->check(Positive())
      ->needs("--data")
      ->type_name("N");
  command->add_flag("--strict", flags->strict,
                    "Exit with status 8 unless no sum saturates: on the data if given, else whatever the activations");
  flags->run.Add(command, 32);
  flags->output.AddJson(command);
  command->footer(R"(Examples:
  laconic certify my-bert-int8
  laconic certify my-bert-int8 --data test.csv --limit 500 --strict)");
  command->callback([flags] { RunCertify(*flags); });
}

}  // namespace laconic::cli
