#include "laconic/diff.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common.h"
#include "laconic/model.h"
#include "report/table.h"

namespace laconic::cli {
namespace {

constexpr std::size_t kNamesShown = 5;

struct Flags {
  std::string a, b;
  DataFlags data;
  std::int64_t limit = 0;
  DiffOptions options;
  std::optional<double> fail_over;
  RunFlags run;
  OutputFlags output;
};

std::string Optional(const std::optional<std::int64_t>& count) { return count ? fmt::format("{}", *count) : "-"; }

std::string Decibels(double value) { return std::isfinite(value) ? fmt::format("{:.1f}", value) : "-"; }

std::string Names(std::string_view what, const std::vector<std::string>& names) {
  if (names.empty()) {
    return "";
  }
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kNamesShown));
  return fmt::format("{} {}: {}{}\n", names.size(), what, fmt::join(names.begin(), end, ", "),
                     names.size() > kNamesShown ? ", ..." : "");
}

std::string Headlines(const ModelDiff& diff, double threshold) {
  if (diff.tensors.empty()) {
    return "No tensor to compare.\n";
  }
  std::string text = diff.has_outputs ? "" : "The outputs could not be compared.\n";
  if (!diff.worst) {
    return text + (diff.unlike.empty() ? "All tensors are equal.\n" : "All tensors of equal shapes are equal.\n");
  }
  text += fmt::format("First to diverge (relative error over {:g}): ", threshold);
  if (diff.first) {
    const TensorDiff& first = diff.tensors[*diff.first];
    text += fmt::format("{} ({}), {:.2e}, from {}\n", first.name, first.op, first.relative,
                        ToString(first.first.value_or(first.worst)));
  } else {
    text += "none\n";
  }
  const TensorDiff& worst = diff.tensors[*diff.worst];
  text += fmt::format("Worst: {} ({}), {:.2e}", worst.name, worst.op, worst.relative);
  if (worst.not_finite > 0) {
    return text + fmt::format(", {} elements are not finite in one only\n", worst.not_finite);
  }
  return text + fmt::format(", most at {} column {}: {:g} and {:g}\n", ToString(worst.worst), worst.worst_column,
                            worst.worst_a, worst.worst_b);
}

std::string TensorTable(const ModelDiff& diff) {
  Table table({"tensor", "op", "max |d|", "mean |d|", "relative", "dB", "first row over"});
  for (const TensorDiff& tensor : diff.tensors) {
    table.AddRow({tensor.name, tensor.op, fmt::format("{:.2e}", tensor.max_abs), fmt::format("{:.2e}", tensor.mean_abs),
                  fmt::format("{:.2e}", tensor.relative), Decibels(tensor.signal_to_noise),
                  tensor.first ? ToString(*tensor.first) : ""});
  }
  return table.ToString();
}

std::string CodeTable(const ModelDiff& diff) {
  Table table({"input of layer", "codes", "ties in A", "ties in B", "1 apart", "more apart"});
  for (const CodeDiff& codes : diff.codes) {
    table.AddRow({codes.layer, fmt::format("{}", codes.num_codes), Optional(codes.ties_a), Optional(codes.ties_b),
                  Optional(codes.one_apart), Optional(codes.more_apart)});
  }
  return "\n8-bit codes (ties: within 2^-14 of the middle between two codes, where programs whose floats differ in the "
         "last "
         "bits round apart)\n" +
         table.ToString();
}

std::string Report(const Flags& flags, const ModelDiff& diff) {
  std::string text = fmt::format("A {}\nB {}\n{} tensors of both on {} texts, {} tokens\n{}\n{}", flags.a, flags.b,
                                 diff.tensors.size(), diff.num_texts, diff.num_tokens,
                                 Headlines(diff, flags.options.threshold), TensorTable(diff));
  if (!diff.codes.empty()) {
    text += CodeTable(diff);
  }
  text += Names("only in A", diff.only_a) + Names("only in B", diff.only_b);
  return text + Names("of different shapes", diff.unlike);
}

nlohmann::json ToJson(const TensorDiff& tensor) {
  nlohmann::json json = {{"name", tensor.name},
                         {"op", tensor.op},
                         {"rows", tensor.num_rows},
                         {"width", tensor.width},
                         {"max_abs", tensor.max_abs},
                         {"mean_abs", tensor.mean_abs},
                         {"relative", tensor.relative},
                         {"signal_to_noise_db", tensor.signal_to_noise},
                         {"not_finite", tensor.not_finite},
                         {"first", tensor.first ? cli::ToJson(*tensor.first) : nlohmann::json(nullptr)},
                         {"worst", nullptr}};
  if (tensor.worst_column >= 0) {
    json["worst"] = cli::ToJson(tensor.worst);
    json["worst"].update({{"column", tensor.worst_column}, {"a", tensor.worst_a}, {"b", tensor.worst_b}});
  }
  return json;
}

nlohmann::json ToJson(const CodeDiff& codes) {
  return {{"layer", codes.layer},
          {"codes", codes.num_codes},
          {"ties_a", OrNull(codes.ties_a)},
          {"ties_b", OrNull(codes.ties_b)},
          {"one_apart", OrNull(codes.one_apart)},
          {"more_apart", OrNull(codes.more_apart)}};
}

nlohmann::json ToJson(const Flags& flags, const ModelDiff& diff) {
  const auto name = [&](const std::optional<std::size_t>& index) {
    return index ? nlohmann::json(diff.tensors[*index].name) : nlohmann::json(nullptr);
  };
  nlohmann::json tensors = nlohmann::json::array();
  for (const TensorDiff& tensor : diff.tensors) {
    tensors.push_back(ToJson(tensor));
  }
  nlohmann::json codes = nlohmann::json::array();
  for (const CodeDiff& entry : diff.codes) {
    codes.push_back(ToJson(entry));
  }
  return {{"schema_version", 1},
          {"a", flags.a},
          {"b", flags.b},
          {"texts", diff.num_texts},
          {"tokens", diff.num_tokens},
          {"truncated", diff.num_truncated},
          {"threshold", flags.options.threshold},
          {"first", name(diff.first)},
          {"worst", name(diff.worst)},
          {"tensors", tensors},
          {"codes", codes},
          {"only_a", diff.only_a},
          {"only_b", diff.only_b},
          {"unlike", diff.unlike},
          {"outputs_compared", diff.has_outputs}};
}

void RunDiff(const Flags& flags) {
  flags.output.Check();
  const Model a = Model::Load(flags.a);
  const Model b = Model::Load(flags.b);
  DiffOptions options = flags.options;
  options.run = flags.run.Options();
  const ModelDiff diff = DiffModels(a, b, flags.data.Rows(flags.limit), options);
  NoteTruncation(diff.num_truncated, diff.num_texts, a.has_tokenizer() ? a : b, options.run);
  flags.output.Print(Report(flags, diff));
  flags.output.WriteJson(ToJson(flags, diff));
  const double worst = diff.worst ? diff.tensors[*diff.worst].relative : 0;
  if (flags.fail_over && (!diff.has_outputs || worst > *flags.fail_over)) {
    throw CLI::RuntimeError(kLimitExceeded);
  }
}

}  // namespace

void AddDiff(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("diff", "Two forms of one model side by side: where their tensors part");
  command->add_option("A", flags->a, "The reference: a model directory, an artifact or an ONNX file")->required();
  command->add_option("B", flags->b, "What is compared with it; one of both brings the tokenizer")->required();
  flags->data.Add(command, true);
  command->add_option("--limit", flags->limit, "Read no more than the first N texts")
      ->check(Positive())
      ->type_name("N");
  command
      ->add_option("--threshold", flags->options.threshold,
                   "A tensor diverges when its relative error, sqrt(sum (b - a)^2 / sum a^2), is over this")
      ->capture_default_str()
      ->check(NonNegative());
  command
      ->add_option("--fail-over", flags->fail_over,
                   "Exit with status 8 if the worst relative error is over this, or the outputs cannot be compared")
      ->check(NonNegative());
  flags->run.Add(command, 32);
  flags->output.AddJson(command);
  command->footer(R"(Examples:
  laconic diff my-bert my-bert-int8 --data test.csv --limit 100
  laconic diff my-bert-int8 exported.onnx --data test.csv --fail-over 0.001)");
  command->callback([flags] { RunDiff(*flags); });
}

}  // namespace laconic::cli
