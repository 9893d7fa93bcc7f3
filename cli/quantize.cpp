#include "laconic/quantize.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/progress.h"
#include "common.h"
#include "laconic/certify.h"
#include "laconic/compare.h"
#include "laconic/error.h"
#include "laconic/model.h"
#include "laconic/static_quantization.h"

namespace laconic::cli {
namespace {

struct Flags {
  std::string model;
  QuantizeOptions options;
  DataFlags calibration;
  RunFlags run;
  std::int64_t calibration_batches = 0;
  std::string smooth_quant = "auto";
  std::string gptq = "on";
  std::string bias_correction = "on";
  std::string weight_range = "absmax";
  std::string overflow = "none";
  OutputFlags output;
};

CalibratedOptions CalibratedOf(const Flags& flags) {
  CalibratedOptions options = flags.options.calibrated;
  if (flags.smooth_quant == "off") {
    options.smooth_quant = SmoothQuant::kOff;
  } else if (flags.smooth_quant != "auto") {
    options.smooth_quant = SmoothQuant::kFixed;
    if (!CLI::detail::lexical_cast(flags.smooth_quant, options.smooth_alpha)) {
      Fail(ErrorCode::kInvalidArgument, "--smooth-quant: expected auto, off or a number, got '", flags.smooth_quant,
           "'");
    }
  }
  options.gptq = flags.gptq == "on";
  options.bias_correction = flags.bias_correction == "on";
  options.mse_weight_range = flags.weight_range == "mse";
  return options;
}

NextRowFn CalibrationTexts(const Flags& flags) {
  return flags.calibration.Rows(flags.calibration_batches * flags.run.batch);
}

Model QuantizeCalibrated(const Model& model, const Flags& flags, const QuantizeOptions& options) {
  RunOptions run = flags.run.Options();
  run.progress = options.progress;
  PreparedModel prepared = Prepare(model, options);
  Calibrate(&prepared, CalibrationTexts(flags), run);
  return Convert(prepared, options.progress);
}

OverflowFix OverflowFixOf(const Flags& flags) {
  if (flags.overflow == "none") {
    return OverflowFix::kNone;
  }
  if (flags.options.method != "dynamic" && flags.options.method != "static") {
    Fail(ErrorCode::kInvalidArgument, "--overflow is for methods dynamic and static, got '", flags.options.method, "'");
  }
  const std::vector<std::string>& paths = flags.calibration.paths;
  if (flags.overflow == "auto" && std::ranges::find(paths, "-") != paths.end()) {
    Fail(ErrorCode::kInvalidArgument, "--overflow auto reads the calibration texts again; give files");
  }
  return flags.overflow == "auto" ? OverflowFix::kAuto : OverflowFix::kReduceRange;
}

std::string OverflowNote(const Flags& flags, const FixedModel& fixed) {
  if (flags.overflow == "none") {
    return "";
  }
  const char* why = flags.overflow == "reduce-range" ? "all"
                    : flags.calibration.paths.empty()
                        ? "without --calibration, those that some activations could saturate"
                        : "those that saturate on the calibration texts";
  return fmt::format("codes up to 64 in {} linear layers: {}\n", fixed.reduced.size(), why);
}

void RunQuantize(const Flags& flags) {
  flags.output.Check();
  QuantizeOptions options = flags.options;
  options.progress = MakeTerminalProgress();
  const Model model = Model::Load(flags.model);
  const std::int64_t before = DiskBytes(model.info().path);
  options.calibrated = CalibratedOf(flags);
  const bool is_calibrated = !flags.calibration.paths.empty();
  if (!is_calibrated && options.method == "static") {
    Fail(ErrorCode::kInvalidArgument, "--method static needs --calibration");
  }
  const auto quantize = [&](const std::set<std::string>& reduced) {
    options.reduced_range = reduced;
    return is_calibrated ? QuantizeCalibrated(model, flags, options) : QuantizeModel(model, options);
  };
  const auto texts = [&] { return is_calibrated ? CalibrationTexts(flags) : NextRowFn(); };
  const FixedModel fixed = QuantizeWithoutOverflow(model, OverflowFixOf(flags), quantize, texts, flags.run.Options());
  const Model& quantized = fixed.model;
  quantized.Save(flags.output.output, flags.output.force);
  const std::int64_t after = DiskBytes(flags.output.output);
  const double ratio =
      4.0 * static_cast<double>(model.info().base_parameters) / static_cast<double>(quantized.info().stored_bytes);
  flags.output.Print(fmt::format("{}: {} -> {} on disk; tensors {:.2f} times smaller than in float32\n",
                                 flags.output.output, Bytes(before), Bytes(after), ratio));
  flags.output.Print(OverflowNote(flags, fixed));
  flags.output.WriteJson({{"schema_version", 1},
                          {"path", flags.output.output},
                          {"method", options.method},
                          {"disk_bytes", after},
                          {"base_disk_bytes", before},
                          {"compression_ratio", ratio},
                          {"reduced_range", fixed.reduced}});
}

// What only --calibration makes possible.
void AddCalibratedFlags(CLI::App* command, Flags* flags) {
  const auto with_texts = [&](const std::string& name, std::string* value, const std::string& help) {
    return command->add_option(name, *value, help)->capture_default_str()->needs("--calibration");
  };
  const CLI::IsMember on_or_off({"on", "off"});
  with_texts(
      "--smooth-quant", &flags->smooth_quant,
      "Move outliers from activations into weights: auto (how far, is chosen per layer), off, or alpha in (0, 1]");
  with_texts("--gptq", &flags->gptq, "Round weights with error feedback: on, off")->check(on_or_off);
  with_texts("--bias-correction", &flags->bias_correction, "Keep each output's mean: on, off")->check(on_or_off);
  with_texts("--weight-range", &flags->weight_range, "absmax, or mse: the least squared error")
      ->check(CLI::IsMember({"absmax", "mse"}));
  command
      ->add_option("--embedding-block", flags->options.calibrated.embedding_block,
                   "Columns of an embedding that share a scale: a multiple of 16; 0: a row's")
      ->capture_default_str()
      ->check(CLI::IsMember({0, 16, 32, 64, 128}))
      ->needs("--calibration");
}

}  // namespace

void AddQuantize(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("quantize", "Make a model smaller: INT8, or half-width weights");
  command->add_option("MODEL", flags->model, "Hugging Face directory")->required();
  flags->output.AddOutput(command, "Directory to write", true);
  command->add_option("--method", flags->options.method, "dynamic or static (INT8), fp16 or bf16")
      ->capture_default_str();
  flags->calibration.Add(command, false, "--calibration");
  flags->run.Add(command, 32);
  command->add_option("--calibration-batches", flags->calibration_batches, "Use the first N batches only (0: all)")
      ->check(CLI::NonNegativeNumber);
  AddCalibratedFlags(command, flags.get());
  command
      ->add_option(
          "--overflow", flags->overflow,
          "INT8 sums that saturate on x86 without VNNI (see certify): none leaves them, reduce-range halves all "
          "weights' codes, auto those of the layers that need it")
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "reduce-range", "auto"}));
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
  laconic quantize my-bert -o out --method static --calibration train.csv --calibration-batches 8
  laconic quantize my-bert -o out --calibration train.csv --calibration-batches 8
  laconic quantize my-bert -o out --exclude 'classifier*,*pooler*'
  laconic quantize my-bert -o out --method bf16 --layers embedding)");
  command->callback([flags] { RunQuantize(*flags); });
}

}  // namespace laconic::cli
