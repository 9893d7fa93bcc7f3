#include "laconic/quantize.h"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/progress.h"
#include "common.h"
#include "laconic/compare.h"
#include "laconic/model.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string model;
  QuantizeOptions options;
  OutputFlags output;
};

void RunQuantize(const Flags& flags) {
  flags.output.Check();
  QuantizeOptions options = flags.options;
  options.progress = MakeTerminalProgress();
  const Model model = Model::Load(flags.model);
  const std::int64_t before = DiskBytes(model.info().path);
  const Model quantized = QuantizeModel(model, options);
  quantized.Save(flags.output.output, flags.output.force);
  const std::int64_t after = DiskBytes(flags.output.output);
  const double ratio =
      4.0 * static_cast<double>(model.info().base_parameters) / static_cast<double>(quantized.info().stored_bytes);
  flags.output.Print(fmt::format("{}: {} -> {} on disk; tensors {:.2f} times smaller than in float32\n",
                                 flags.output.output, Bytes(before), Bytes(after), ratio));
  flags.output.WriteJson({{"schema_version", 1},
                          {"path", flags.output.output},
                          {"method", options.method},
                          {"disk_bytes", after},
                          {"base_disk_bytes", before},
                          {"compression_ratio", ratio}});
}

}  // namespace

void AddQuantize(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("quantize", "Make a model smaller: INT8, or half-width weights");
  command->add_option("MODEL", flags->model, "Hugging Face directory")->required();
  flags->output.AddOutput(command, "Directory to write", true);
  command->add_option("--method", flags->options.method, "dynamic (INT8), fp16 or bf16")->capture_default_str();
  command->add_option("--layers", flags->options.kinds, "Kinds of layers: linear, embedding (default: both)")
      ->delimiter(',');
  command->add_option("--include", flags->options.include, "Only layers of these names (patterns: * and ?)")
      ->delimiter(',');
  command->add_option("--exclude", flags->options.exclude, "Not the layers of these names; wins over --include")
      ->delimiter(',');
  flags->output.AddJson(command);
  flags->output.AddForce(command);
  command->footer(R"(Examples:
  laconic quantize my-bert -o my-bert-int8
  laconic quantize my-bert -o out --exclude 'classifier*,*pooler*'
  laconic quantize my-bert -o out --method bf16 --layers embedding)");
  command->callback([flags] { RunQuantize(*flags); });
}

}  // namespace laconic::cli
