#include "laconic/quantize.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/progress.h"
#include "common.h"
#include "graph/graph.h"
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
  std::string table;
  std::string qconfig = "laconic";
  nlohmann::ordered_json edits = nlohmann::ordered_json::object();  // of the QConfig, by flags
  OutputFlags output;
};

bool IsInt8(const Flags& flags) { return flags.options.method == "dynamic" || flags.options.method == "static"; }

// --qconfig with the other flags' edits, or nothing for a method that has none.
std::optional<QConfig> QConfigOf(const Flags& flags) {
  if (!IsInt8(flags)) {
    if (flags.qconfig != "laconic" || !flags.edits.empty()) {
      Fail(ErrorCode::kInvalidArgument,
           "--qconfig and the flags that edit it are for methods dynamic and static, got '", flags.options.method, "'");
    }
    return std::nullopt;
  }
  return ReadQConfig(flags.qconfig,
                     {.is_static = flags.options.method == "static", .has_texts = !flags.calibration.paths.empty()},
                     flags.edits);
}

DataFlags::Sample CalibrationTexts(const Flags& flags) {
  return flags.calibration.CalibrationTexts(flags.calibration_batches, flags.run.batch);
}

Model QuantizeCalibrated(const Model& model, const Flags& flags, QuantizeOptions options) {
  RunOptions run = flags.run.Options();
  run.progress = options.progress;
  const DataFlags::Sample texts = CalibrationTexts(flags);
  options.calibration_rows = texts.num_rows;
  PreparedModel prepared = Prepare(model, options);
  Calibrate(&prepared, texts.next, run);
  return Convert(prepared, options.progress);
}

void CheckOverflow(const Flags& flags, Overflow overflow) {
  const std::vector<std::string>& paths = flags.calibration.paths;
  if (overflow == Overflow::kAuto && std::ranges::find(paths, "-") != paths.end()) {
    Fail(ErrorCode::kInvalidArgument, "--overflow auto reads the calibration texts again; give files");
  }
}

std::string OverflowNote(const Flags& flags, Overflow overflow, const FixedModel& fixed) {
  if (overflow == Overflow::kNone) {
    return "";
  }
  const char* why = overflow == Overflow::kReduceRange ? "all"
                    : flags.calibration.paths.empty()
                        ? "without --calibration, those that some activations could saturate"
                        : "those that saturate on the calibration texts";
  return fmt::format("codes up to 64 in {} linear layers: {}\n", fixed.reduced.size(), why);
}

// Where INT8 attention was asked for and some attention stays as it is.
std::string AttentionNote(const QuantizeOptions& options, const Graph& graph) {
  const auto count = [&](std::string_view op) { return std::ranges::count(graph.nodes(), op, &Node::op); };
  const auto in_int8 = count("laconic.Int8Attention");
  const auto in_float = count("Attention");
  if (!options.qconfig || !options.qconfig->int8_attention || (in_float == 0 && in_int8 > 0)) {
    return "";
  }
  if (in_float == 0) {
    return "INT8 attention: none, since no attention is recognised in the graph (inspect --plan tells why)\n";
  }
  return fmt::format("INT8 attention: {}; {} stay in float: they have a past, a window, a soft cap or unlike heads\n",
                     in_int8, in_float);
}

// Of an artifact that was written just now, so that all its files are ours.
std::int64_t WrittenBytes(const std::filesystem::path& artifact) {
  std::int64_t bytes = 0;
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(artifact)) {
    bytes += static_cast<std::int64_t>(entry.file_size());
  }
  return bytes;
}

void RunQuantize(const Flags& flags) {
  flags.output.Check();
  QuantizeOptions options = flags.options;
  options.progress = MakeTerminalProgress();
  options.qconfig = QConfigOf(flags);
  const Overflow overflow = options.qconfig ? options.qconfig->overflow : Overflow::kNone;
  CheckOverflow(flags, overflow);
  const bool is_calibrated = !flags.calibration.paths.empty();
  if (!is_calibrated && flags.table.empty() && options.method == "static") {
    Fail(ErrorCode::kInvalidArgument, "--method static needs --calibration or --calibration-table");
  }
  if (!flags.table.empty()) {
    options.table = CalibrationTable::Load(flags.table);
    NoteMissingShards(*options.table, flags.table);
  }
  const Model model = Model::Load(flags.model);
  const std::int64_t before = DiskBytes(model);
  const auto quantize = [&](const std::set<std::string>& reduced) {
    options.reduced_range = reduced;
    return is_calibrated ? QuantizeCalibrated(model, flags, options) : QuantizeModel(model, options);
  };
  const auto texts = [&] { return is_calibrated ? CalibrationTexts(flags).next : NextRowFn(); };
  const FixedModel fixed = QuantizeWithoutOverflow(model, overflow, quantize, texts, flags.run.Options());
  const Model& quantized = fixed.model;
  quantized.Save(flags.output.output, flags.output.force);
  const std::int64_t after = WrittenBytes(flags.output.output);
  const double ratio =
      4.0 * static_cast<double>(model.info().base_parameters) / static_cast<double>(quantized.info().stored_bytes);
  flags.output.Print(fmt::format("{}: {} -> {} on disk; tensors {:.2f} times smaller than in float32\n",
                                 flags.output.output, Bytes(before), Bytes(after), ratio));
  if (quantized.info().stored_bytes > model.info().stored_bytes) {
    Note("that is more than the original, which stores float weights in half precision: layers not chosen are in f32");
  }
  flags.output.Print(OverflowNote(flags, overflow, fixed));
  flags.output.Print(AttentionNote(options, quantized.graph()));
  flags.output.WriteJson({{"schema_version", 1},
                          {"path", flags.output.output},
                          {"method", options.method},
                          {"disk_bytes", after},
                          {"base_disk_bytes", before},
                          {"compression_ratio", ratio},
                          {"reduced_range", fixed.reduced}});
}

using Json = nlohmann::ordered_json;

// The flag `name` sets what stands at `pointer` in the QConfig; `read` makes its value of the flag's.
void AddEdit(CLI::App* command, Flags* flags, const std::string& name, const char* pointer, const std::string& help,
             const CLI::Validator& check, Json (*read)(const std::string&)) {
  command
      ->add_option_function<std::string>(
          name, [=](const std::string& value) { flags->edits[Json::json_pointer(pointer)] = read(value); }, help)
      ->check(check)
      ->group("Of the QConfig (unless given: what it says)");
}

Json AsText(const std::string& value) { return value; }
Json AsOnOff(const std::string& value) { return value == "on"; }
Json AsNumber(const std::string& value) { return std::stoi(value); }
// PyTorch's and ONNX Runtime's names.
Json AsCodeType(const std::string& value) {
  return value.ends_with("uint8") ? "u8" : value.ends_with("int8") ? "s8" : value;
}

Json AsSmoothQuant(const std::string& value) {
  double alpha = 0;
  if (value == "auto" || value == "off") {
    return value;
  }
  if (!CLI::detail::lexical_cast(value, alpha)) {
    Fail(ErrorCode::kInvalidArgument, "--smooth-quant: expected auto, off or a number, got '", value, "'");
  }
  return alpha;
}

// Short for members of the QConfig.
void AddQConfigFlags(CLI::App* command, Flags* flags) {
  const CLI::IsMember code_types({"quint8", "qint8", "uint8", "int8", "u8", "s8"});
  const CLI::IsMember schemes({"affine", "symmetric"});
  const CLI::IsMember on_or_off({"on", "off"});
  const auto add = [&](const std::string& name, const char* pointer, const std::string& help,
                       const CLI::Validator& check, Json (*read)(const std::string&) = AsText) {
    AddEdit(command, flags, name, pointer, help, check, read);
  };
  add("--activation-observer", "/activations/observer",
      "Who finds the ranges of static activations: minmax, percentile, entropy, mse, moving_average, histogram, "
      "ort_entropy or ort_percentile (all but minmax: with --smooth-quant off)",
      CLI::Validator());
  add("--activation-dtype", "/activations/dtype", "quint8 or qint8", code_types, AsCodeType);
  add("--activation-scheme", "/activations/scheme", "affine or symmetric", schemes);
  add("--activation-granularity", "/activations/granularity",
      "What has a scale of its own: token, or tensor (static: one for all texts; dynamic: one a text)",
      CLI::IsMember({"token", "tensor"}));
  add("--weight-dtype", "/weights/dtype", "qint8 or quint8", code_types, AsCodeType);
  add("--weight-granularity", "/weights/granularity", "What has a scale of its own: an output channel, or the tensor",
      CLI::IsMember({"channel", "tensor"}));
  add("--weight-observer", "/weights/observer", "minmax, or mse: the least squared error",
      CLI::IsMember({"minmax", "mse"}));
  add("--smooth-quant", "/smooth_quant",
      "Move outliers from activations into weights: auto (how far, is chosen per layer), off, or alpha in (0, 1]",
      CLI::Validator(), AsSmoothQuant);
  add("--gptq", "/gptq", "Round weights with error feedback: on, off", on_or_off, AsOnOff);
  add("--bias-correction", "/bias_correction", "Keep each output's mean: on, off", on_or_off, AsOnOff);
  add("--embedding-block", "/embedding_block", "Columns of an embedding that share a scale; 0: a row's",
      CLI::IsMember({"0", "16", "32", "64", "128", "256"}), AsNumber);
  add("--int8-attention", "/int8_attention", "Products of attention on INT8 codes found as the model runs: on, off",
      on_or_off, AsOnOff);
  add("--overflow", "/overflow",
      "INT8 sums that saturate on x86 without VNNI (see certify): none leaves them, reduce-range halves all weights' "
      "codes, auto those of the layers that need it",
      CLI::IsMember({"none", "reduce-range", "auto"}));
}

}  // namespace

void AddQuantize(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("quantize", "Make a model smaller: INT8, or half-width weights");
  command->add_option("MODEL", flags->model, "Float model: a Hugging Face directory, or an ONNX file")->required();
  flags->output.AddModelOutput(command);
  command->add_option("--method", flags->options.method, "dynamic or static (INT8), fp16 or bf16")
      ->capture_default_str();
  flags->calibration.Add(command, false, "--calibration");
  flags->run.Add(command, 32);
  AddCalibrationBatches(command, &flags->calibration_batches)->needs("--calibration");
  command->add_option("--calibration-table", flags->table,
                      "Static: a table by calibrate, which gives the ranges; with --calibration too, its texts only "
                      "choose smoothing and rounding");
  command
      ->add_option(
          "--qconfig", flags->qconfig,
          "INT8 as a whole: laconic, onnxruntime, fbgemm, qnnpack, x86, onednn, or a JSON file; the flags below "
          "change it")
      ->capture_default_str();
  AddQConfigFlags(command, flags.get());
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
  laconic quantize my-bert -o out --method static --calibration-table table.json
  laconic quantize my-bert -o out --method static --qconfig x86 --calibration train.csv
  laconic quantize my-bert -o out --weight-dtype quint8 --weight-granularity tensor
  laconic quantize my-bert -o out --qconfig mine.json
      {"preset": "laconic", "overrides": [{"layers": ["*pooler*"], "quantize": false}]}
  laconic quantize my-bert -o out --exclude 'classifier*,*pooler*'
  laconic quantize my-bert -o out --method bf16 --layers embedding)");
  command->callback([flags] { RunQuantize(*flags); });
}

}  // namespace laconic::cli
