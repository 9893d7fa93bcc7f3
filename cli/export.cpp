#include "laconic/export.h"

#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "common.h"
#include "laconic/certify.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string model;
  ExportOptions options;
  OutputFlags output;
};

// What other runtimes compute of the file elsewhere is seen by nobody here.
void NoteSaturation(const Model& model) {
  const std::string method = MethodOf(model);
  const bool is_int8 = method == "dynamic" || method == "static" || method == "mixed";
  if (is_int8 && Certify(model, {}).safety > Safety::kSafe) {
    Note(
        "other runtimes may saturate INT8 sums on x86 without VNNI: certify --data tells what that changes, "
        "quantize --overflow auto keeps a model from it");
  }
}

void RunExport(const Flags& flags) {
  flags.output.Check();
  ExportOptions options = flags.options;
  options.force = flags.output.force;
  const Model model = Model::Load(flags.model);
  ExportModel(model, flags.output.output, options);
  if (flags.output.output != "-") {
    std::uintmax_t bytes = std::filesystem::file_size(flags.output.output);
    if (options.external_data) {
      bytes += std::filesystem::file_size(flags.output.output + ".data");
    }
    flags.output.Print(
        fmt::format("{}: {}, opset {}\n", flags.output.output, Bytes(static_cast<std::int64_t>(bytes)), options.opset));
  }
  NoteSaturation(model);
}

}  // namespace

void AddExport(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("export", "Write a model as standard ONNX");
  command->add_option("MODEL", flags->model, "Model directory, or an ONNX file")->required();
  flags->output.AddOutput(command, "File to write", true);
  command->add_option("--format", flags->options.format,
                      "float or dynamic; of static models qdq or qoperator (default: as the model is)");
  command->add_option("--opset", flags->options.opset, "ONNX operator set, 14 to 23")->capture_default_str();
  command->add_flag("--external-data", flags->options.external_data,
                    "Keep the tensors in FILE.data beside the file: for models over 2 GB");
  flags->output.AddForce(command);
  command->footer(R"(Examples:
  laconic export my-bert-int8 -o my-bert-int8.onnx
  laconic export my-bert -o my-bert.onnx --format float --opset 14
  laconic export my-bert-static -o my-bert-static.onnx --format qoperator)");
  command->callback([flags] { RunExport(*flags); });
}

}  // namespace laconic::cli
