#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "common.h"
#include "formats/hf/artifact.h"
#include "formats/hf/directory.h"
#include "graph/text_form.h"
#include "laconic/compare.h"
#include "laconic/error.h"
#include "laconic/model.h"
#include "laconic/qconfig.h"
#include "passes/fusion/pipeline.h"
#include "passes/layer_selection.h"
#include "passes/quantized_layers.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string model;
  bool graph = false;
  bool plan = false;
  std::string precision = "f32";
  bool layers = false;
  bool verify = false;
  OutputFlags output;
};

std::string_view ProblemName(ProblemType problem) {
  return problem == ProblemType::kMultiLabel ? "multi-label" : "single-label";
}

// An ONNX file does not say how it came about, its layers do.
std::string Method(const Model& model) {
  const std::string method = MethodOf(model);
  return method == model.info().method ? method
                                       : fmt::format("{} (not stated; {} linear layers in INT8)", method,
                                                     passes::FindQuantizedLinears(model.graph()).size());
}

std::string Summary(const Model& model, const TensorBytes& bytes) {
  const ModelInfo& info = model.info();
  std::string text = fmt::format("model type      {}\n", info.model_type.empty() ? "ONNX" : info.model_type);
  text += fmt::format("method          {}\n", Method(model));
  text += fmt::format("problem         {}{}\n", ProblemName(info.problem), info.problem_is_stated ? "" : " (default)");
  text += fmt::format("labels          {}: {}\n", info.labels.size(), fmt::join(info.labels, ", "));
  text += info.max_length > 0 ? fmt::format("maximum length  {} tokens\n", info.max_length)
                              : "maximum length  not stated: no tokenizer\n";
  text += fmt::format("parameters      {} before compression\n", info.base_parameters);
  text += fmt::format("tensors         {} linear, {} embedding, {} other\n", Bytes(bytes.linear),
                      Bytes(bytes.embedding), Bytes(bytes.other));
  if (!info.ignored.empty()) {
    text += fmt::format("ignored         {} tensors: {}\n", info.ignored.size(), fmt::join(info.ignored, ", "));
  }
  return text;
}

// How an INT8 model was made, as laconic.json says.
std::string Recipe(const ModelInfo& info) {
  const nlohmann::json recipe = info.recipe.empty() ? nlohmann::json::object() : ParseJson(info.recipe);
  std::string text;
  if (const auto texts = recipe.find("calibration_texts"); texts != recipe.end()) {
    const auto rows = recipe.find("calibration_rows");
    text += fmt::format(
        "calibrated on   {} texts{}\n", texts->dump(),
        rows == recipe.end() || *rows == *texts ? "" : fmt::format(", spread evenly over {}", rows->dump()));
  }
  if (const auto texts = recipe.find("calibration_table_texts"); texts != recipe.end()) {
    text += fmt::format("ranges from     a calibration table of {} texts\n", texts->dump());
  }
  if (const auto layers = recipe.find("reduced_range"); layers != recipe.end()) {
    text += fmt::format("reduced range   {} linear layers\n", layers->size());
  }
  if (const auto qconfig = recipe.find("qconfig"); qconfig != recipe.end()) {
    const QConfigUse use = {.is_static = info.method == "static"};
    text += "quantized by\n" + WithFrame([] { return "the recipe of laconic.json"; },
                                         [&] { return DescribeQConfig(ParseQConfig(qconfig->dump(), use)); });
  }
  return text;
}

std::string PrintLayers(const std::vector<passes::Layer>& layers) {
  std::string text;
  for (const passes::Layer& layer : layers) {
    text += layer.name + (layer.is_default ? "\n" : " (only where --include names it)\n");
  }
  return text;
}

nlohmann::json LayersToJson(const std::vector<passes::Layer>& layers) {
  nlohmann::json json = nlohmann::json::array();
  for (const passes::Layer& layer : layers) {
    json.push_back({{"name", layer.name}, {"kind", passes::ToString(layer.kind)}, {"default", layer.is_default}});
  }
  return json;
}

void Verify(const std::string& path) {
  const std::filesystem::path directory = hf::ResolveCacheEntry(path);
  if (Exists(directory) && !hf::IsArtifact(directory)) {
    Fail(ErrorCode::kNotFound, "no laconic.json in '", directory.string(), "': only what laconic wrote has digests");
  }
  VerifyDigests(directory);
}

// What no fusion pass recognised, and why.
std::string GeneralNodes(const Model& model) {
  std::string text;
  if (!passes::IsCanonical(model.graph())) {
    for (const std::string& line : passes::Fuse(model.graph()).general) {
      text += "# general: " + line + "\n";
    }
  }
  return text;
}

void RunInspect(const Flags& flags) {
  flags.output.Check();
  if (flags.verify) {  // before damage makes loading fail with less to say
    Verify(flags.model);
    flags.output.Print("all digests agree\n");
  }
  const Model model = Model::Load(flags.model);
  if (flags.graph) {
    flags.output.Print(PrintGraph(model.graph()));
  }
  if (flags.graph || flags.plan) {
    flags.output.Print(GeneralNodes(model));
  }
  if (flags.plan) {
    flags.output.Print(CompiledModel::Compile(model, {.precision = flags.precision})->PlanText());
  }
  const std::vector<passes::Layer> layers = passes::FindLayers(model.graph());
  if (flags.layers) {
    flags.output.Print(PrintLayers(layers));
  }
  const TensorBytes bytes = CountTensorBytes(model);
  if (!flags.verify && !flags.graph && !flags.plan && !flags.layers) {
    flags.output.Print(Summary(model, bytes) + Recipe(model.info()));
  }
  const ModelInfo& info = model.info();
  nlohmann::json report = {{"schema_version", 1},
                           {"path", flags.model},
                           {"model_type", info.model_type},
                           {"method", MethodOf(model)},
                           {"recipe", info.recipe.empty() ? nlohmann::json::object() : ParseJson(info.recipe)},
                           {"problem", ProblemName(info.problem)},
                           {"labels", info.labels},
                           {"max_length", info.max_length},
                           {"base_parameters", info.base_parameters},
                           {"stored_tensor_bytes", info.stored_bytes},
                           {"tensor_bytes", ToJson(bytes)},
                           {"ignored", info.ignored}};
  if (flags.layers) {
    report["layers"] = LayersToJson(layers);
  }
  flags.output.WriteJson(report);
}

}  // namespace

void AddInspect(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("inspect", "What a model is made of");
  command->add_option("MODEL", flags->model, "Model directory, or an ONNX file")->required();
  command->add_flag("--graph", flags->graph, "Print the graph");
  command->add_flag("--plan", flags->plan, "Print the steps that run it on this CPU");
  AddPrecision(command, &flags->precision, ", with --plan")->needs("--plan");
  command->add_flag("--layers", flags->layers, "Print the names of the layers that quantize can select");
  command->add_flag("--verify", flags->verify, "Check an artifact's files against their digests");
  flags->output.AddJson(command);
  command->footer("Examples:\n  laconic inspect my-bert --layers\n  laconic inspect my-bert-int8 --plan");
  command->callback([flags] { RunInspect(*flags); });
}

}  // namespace laconic::cli
