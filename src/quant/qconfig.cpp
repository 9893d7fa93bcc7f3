#include "laconic/qconfig.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <ranges>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/shell_pattern.h"
#include "laconic/error.h"
#include "quant/qconfig_json.h"

namespace laconic {
namespace {

using Json = nlohmann::ordered_json;

// The names of an enumeration, in its order.
template <typename Enum>
struct Names;
template <>
struct Names<ObserverKind> {
  static constexpr std::array kNames = {"minmax",         "percentile", "entropy",     "mse",
                                        "moving_average", "histogram",  "ort_entropy", "ort_percentile"};
};
template <>
struct Names<CodeType> {
  static constexpr std::array kNames = {"s8", "u8"};
};
template <>
struct Names<CodeRange> {
  static constexpr std::array kNames = {"full", "reduced"};
};
template <>
struct Names<Scheme> {
  static constexpr std::array kNames = {"affine", "symmetric"};
};
template <>
struct Names<Granularity> {
  static constexpr std::array kNames = {"tensor", "channel", "token"};
};
template <>
struct Names<Convention> {
  static constexpr std::array kNames = {"onnxruntime", "pytorch"};
};
template <>
struct Names<Overflow> {
  static constexpr std::array kNames = {"none", "auto", "reduce-range"};
};

template <typename Enum>
const char* NameOf(Enum value) {
  return Names<Enum>::kNames[static_cast<std::size_t>(value)];
}

void ReadValue(const Json& json, bool* value) {
  if (!json.is_boolean()) {
    Fail(ErrorCode::kInvalidFile, "expected true or false, got ", json.dump());
  }
  *value = json.get<bool>();
}

void ReadValue(const Json& json, double* value) {
  if (!json.is_number()) {
    Fail(ErrorCode::kInvalidFile, "expected a number, got ", json.dump());
  }
  *value = json.get<double>();
}

void ReadValue(const Json& json, std::int64_t* value) {
  if (!json.is_number_integer() || (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX)) {
    Fail(ErrorCode::kInvalidFile, "expected an integer, got ", json.dump());
  }
  *value = json.get<std::int64_t>();
}

void ReadValue(const Json& json, std::vector<std::string>* value) {
  const auto is_string = [](const Json& element) { return element.is_string(); };
  if (!json.is_array() || json.empty() || !std::ranges::all_of(json, is_string)) {
    Fail(ErrorCode::kInvalidFile, "expected a list of strings, got ", json.dump());
  }
  *value = json.get<std::vector<std::string>>();
}

template <typename Enum>
requires std::is_enum_v<Enum>
void ReadValue(const Json& json, Enum* value) {
  const auto& names = Names<Enum>::kNames;
  const auto found = json.is_string() ? std::ranges::find(names, json.get<std::string>()) : names.end();
  if (found == names.end()) {
    Fail(ErrorCode::kInvalidFile, "expected one of ", fmt::format("{}", fmt::join(names, ", ")), ", got ", json.dump());
  }
  *value = static_cast<Enum>(found - names.begin());
}

struct Member {
  std::string_view key;
  std::function<void(const Json&)> read;
};

template <typename T>
Member Reads(std::string_view key, T* value) {
  return {key, [value](const Json& json) { ReadValue(json, value); }};
}

// Reads each member of `json` with the entry of `members` that has its key, in the order of the file.
void ReadObject(const Json& json, const std::vector<Member>& members) {
  if (!json.is_object()) {
    Fail(ErrorCode::kInvalidFile, "expected an object, got ", json.dump());
  }
  for (const auto& [key, value] : json.items()) {
    WithFrame([&, &key = key] { return "'" + key + "'"; },
              [&, &key = key, &value = value] {
                const auto member = std::ranges::find(members, key, &Member::key);
                if (member == members.end()) {
                  std::vector<std::string_view> known;
                  std::ranges::transform(members, std::back_inserter(known), &Member::key);
                  Fail(ErrorCode::kInvalidFile, "unknown key; known: ", fmt::format("{}", fmt::join(known, ", ")));
                }
                member->read(value);
              });
  }
}

// The settings that `observer`'s kind has.
std::vector<Member> SettingsOf(ObserverConfig* observer) {
  const Member percentile = Reads("percentile", &observer->percentile);
  const Member num_bins = Reads("num_bins", &observer->num_bins);
  const Member num_levels = Reads("num_levels", &observer->num_levels);
  switch (observer->kind) {
    case ObserverKind::kMinMax:
    case ObserverKind::kMse:
      return {};
    case ObserverKind::kPercentile:
      return {percentile};
    case ObserverKind::kMovingAverage:
      return {Reads("averaging_constant", &observer->averaging_constant)};
    case ObserverKind::kHistogram:
      return {num_bins};
    case ObserverKind::kEntropy:
    case ObserverKind::kOrtEntropy:
      return {num_bins, num_levels};
    case ObserverKind::kOrtPercentile:
      return {num_bins, percentile};
  }
  return {};
}

Json PrintTensor(const TensorQConfig& config) {
  return {{"observer", quant::PrintObserver(config.observer)},
          {"dtype", NameOf(config.dtype)},
          {"range", NameOf(config.range)},
          {"scheme", NameOf(config.scheme)},
          {"granularity", NameOf(config.granularity)},
          {"convention", NameOf(config.convention)}};
}

void ReadTensor(const Json& json, TensorQConfig* config) {
  ReadObject(json, {{"observer", [&](const Json& value) { config->observer = quant::ParseObserver(value); }},
                    Reads("dtype", &config->dtype),
                    Reads("range", &config->range),
                    Reads("scheme", &config->scheme),
                    Reads("granularity", &config->granularity),
                    Reads("convention", &config->convention)});
}

Member ReadsTensor(std::string_view key, TensorQConfig* config) {
  return {key, [config](const Json& json) { ReadTensor(json, config); }};
}

Json PrintSmooth(const QConfig& config) {
  if (config.smooth_quant == SmoothQuant::kFixed) {
    return config.smooth_alpha;
  }
  return config.smooth_quant == SmoothQuant::kAuto ? "auto" : "off";
}

void ReadSmooth(const Json& json, QConfig* config) {
  if (json == "auto" || json == "off") {
    config->smooth_quant = json == "auto" ? SmoothQuant::kAuto : SmoothQuant::kOff;
    config->smooth_alpha = 0;
  } else if (json.is_number()) {
    config->smooth_quant = SmoothQuant::kFixed;
    config->smooth_alpha = json.get<double>();
  } else {
    Fail(ErrorCode::kInvalidFile, "expected auto, off or a number, got ", json.dump());
  }
}

void ReadOverrides(const Json& json, const LayerQConfig& base, std::vector<LayerOverride>* overrides) {
  if (!json.is_array()) {
    Fail(ErrorCode::kInvalidFile, "expected a list, got ", json.dump());
  }
  overrides->clear();
  for (const Json& element : json) {
    LayerOverride& layer = overrides->emplace_back();
    layer.config = base;
    ReadObject(element,
               {Reads("layers", &layer.layers), Reads("quantize", &layer.config.quantize),
                ReadsTensor("activations", &layer.config.activations), ReadsTensor("weights", &layer.config.weights)});
    if (layer.layers.empty()) {
      Fail(ErrorCode::kInvalidFile, "override ", overrides->size(), ": expected 'layers', a list of patterns");
    }
  }
}

Json PrintLayer(const LayerQConfig& config) {
  return {{"quantize", config.quantize},
          {"activations", PrintTensor(config.activations)},
          {"weights", PrintTensor(config.weights)}};
}

std::string DescribeTensor(const char* what, const TensorQConfig& config) {
  std::string observer = NameOf(config.observer.kind);
  const Json settings = quant::PrintObserver(config.observer);
  for (const auto& [key, value] : settings.items()) {
    observer += key == "kind" ? "" : fmt::format(", {} {}", key, value.dump());
  }
  return fmt::format("  {:<12} {} {}{}, a scale a {}, range by {}, arithmetic of {}\n", what, NameOf(config.scheme),
                     NameOf(config.dtype), config.range == CodeRange::kReduced ? " in 7 bits" : "",
                     NameOf(config.granularity), observer, NameOf(config.convention));
}

// But for what is as in `base`, if there is one.
std::string DescribeLayer(const LayerQConfig& config, const LayerQConfig* base) {
  if (!config.quantize) {
    return "  stays in float\n";
  }
  const bool prints_activations = base == nullptr || config.activations != base->activations;
  const bool prints_weights = base == nullptr || config.weights != base->weights;
  return (prints_activations ? DescribeTensor("activations", config.activations) : "") +
         (prints_weights ? DescribeTensor("weights", config.weights) : "");
}

// What PyTorch's get_default_qconfig and ONNX Runtime's quantize_static have in common.
QConfig PeerQConfig(ObserverConfig observer, CodeType dtype, CodeRange range, Granularity weights,
                    Convention convention) {
  QConfig config;
  config.layers.activations = {.observer = observer, .dtype = dtype, .range = range, .convention = convention};
  config.layers.weights.granularity = weights;
  config.layers.weights.convention = convention;
  config.smooth_quant = SmoothQuant::kOff;
  config.gptq = false;
  config.bias_correction = false;
  config.embedding_block = 0;
  return config;
}

QConfig TorchQConfig(CodeRange range, Granularity weights) {
  return PeerQConfig(ObserverConfig::Default(ObserverKind::kHistogram), CodeType::kU8, range, weights,
                     Convention::kPyTorch);
}

constexpr std::string_view kOurs = "laconic";

struct Preset {
  std::string_view name;
  QConfig (*make)();
};
constexpr std::array kPresets = {
    Preset{kOurs, [] { return QConfig(); }},
    Preset{"onnxruntime",
           [] {
             return PeerQConfig({}, CodeType::kS8, CodeRange::kFull, Granularity::kTensor, Convention::kOnnxRuntime);
           }},
    Preset{"fbgemm", [] { return TorchQConfig(CodeRange::kReduced, Granularity::kChannel); }},
    Preset{"qnnpack", [] { return TorchQConfig(CodeRange::kFull, Granularity::kTensor); }},
    Preset{"x86", [] { return TorchQConfig(CodeRange::kReduced, Granularity::kChannel); }},
    Preset{"onednn", [] { return TorchQConfig(CodeRange::kFull, Granularity::kChannel); }}};

template <typename... Args>
void Require(bool condition, const Args&... args) {
  if (!condition) {
    Fail(ErrorCode::kInvalidArgument, args...);
  }
}

void CheckTensor(const TensorQConfig& config) {
  quant::CheckObserver(config.observer);
  Require(config.convention == Convention::kOnnxRuntime || config.scheme == Scheme::kAffine ||
              config.dtype == CodeType::kS8 || config.range == CodeRange::kFull,
          "reduced symmetric u8: PyTorch has no such range; its zero point 128 lies outside of 0..127");
}

void CheckDynamicActivations(const TensorQConfig& config) {
  Require(
      config.observer.kind == ObserverKind::kMinMax, "observer ", NameOf(config.observer.kind),
      ": the model finds each range as it runs, so an observer would do nothing; expected minmax, or method static");
  Require(config.dtype == CodeType::kU8 && config.range == CodeRange::kFull && config.scheme == Scheme::kAffine &&
              config.convention == Convention::kOnnxRuntime,
          "what is quantized as the model runs is full affine u8 by ONNX's arithmetic; got ", NameOf(config.range), " ",
          NameOf(config.scheme), " ", NameOf(config.dtype), " by ", NameOf(config.convention),
          "'s; expected that, or method static");
}

void CheckActivations(const TensorQConfig& config, QConfigUse use) {
  CheckTensor(config);
  Require(config.granularity != Granularity::kChannel,
          "granularity channel: a linear layer sums over its input's channels, so they share a scale; smooth_quant "
          "evens them out");
  if (use.is_static) {
    Require(
        config.granularity == Granularity::kTensor,
        "granularity token: a token's own range is known only as the model runs; expected tensor, or method dynamic");
  } else {
    CheckDynamicActivations(config);
  }
}

// What cannot be chosen without texts.
void CheckWithoutTexts(const QConfig& config, QConfigUse use) {
  Require(!config.gptq, "gptq needs texts to calibrate with; expected some, or gptq off");
  Require(!config.bias_correction,
          "bias_correction needs texts to calibrate with; expected some, or bias_correction off");
  Require(config.smooth_quant != SmoothQuant::kAuto,
          "smooth_quant auto needs texts to choose by; expected some, an alpha, or off");
  Require(config.smooth_quant == SmoothQuant::kOff || use.is_static,
          "smooth_quant needs texts or, for method static, a calibration table; expected some, or off");
}

void CheckWeights(const TensorQConfig& config) {
  CheckTensor(config);
  Require(config.granularity != Granularity::kToken, "granularity token: weights have no tokens");
  Require(config.observer.kind == ObserverKind::kMinMax || config.observer.kind == ObserverKind::kMse, "observer ",
          NameOf(config.observer.kind), ": expected minmax or mse for weights, which are known without calibration");
  Require(config.scheme == Scheme::kSymmetric,
          "scheme affine: expected symmetric weights; a zero point of theirs would cost a sum over each token");
}

void CheckLayer(const LayerQConfig& config, const QConfig& all, QConfigUse use) {
  WithFrame([] { return "activations"; }, [&] { CheckActivations(config.activations, use); });
  WithFrame([] { return "weights"; }, [&] { CheckWeights(config.weights); });
  Require(!config.quantize || all.smooth_quant == SmoothQuant::kOff ||
              config.activations.observer.kind == ObserverKind::kMinMax,
          "observer ", NameOf(config.activations.observer.kind),
          " with smooth_quant: the range of smoothed activations comes from their columns' extremes; expected minmax, "
          "or smooth_quant off");
}

}  // namespace

namespace quant {

Json PrintObserver(const ObserverConfig& config) {
  Json json = {{"kind", NameOf(config.kind)}};
  const auto print = [&](const char* key, const auto& value) {
    if (value != 0) {
      json[key] = value;
    }
  };
  print("percentile", config.percentile);
  print("num_bins", config.num_bins);
  print("num_levels", config.num_levels);
  print("averaging_constant", config.averaging_constant);
  return json;
}

ObserverConfig ParseObserver(const Json& json) {
  ObserverKind kind = ObserverKind::kMinMax;
  if (json.is_string()) {
    ReadValue(json, &kind);
    return ObserverConfig::Default(kind);
  }
  if (!json.is_object() || !json.contains("kind")) {
    Fail(ErrorCode::kInvalidFile, "expected an observer's name or an object with its 'kind', got ", json.dump());
  }
  WithFrame([] { return "'kind'"; }, [&] { ReadValue(json["kind"], &kind); });
  ObserverConfig config = ObserverConfig::Default(kind);
  std::vector<Member> members = SettingsOf(&config);
  members.push_back({"kind", [](const Json&) {}});
  ReadObject(json, members);
  return config;
}

void CheckObserver(const ObserverConfig& config) {
  const ObserverConfig defaults = ObserverConfig::Default(config.kind);
  const auto name = NameOf(config.kind);
  // What the kind has, is not 0 by default.
  const auto check = [&](const char* setting, double value, double unasked) {
    Require(unasked != 0 || value == 0, name, " has no ", setting);
    return unasked != 0;
  };
  if (check("percentile", config.percentile, defaults.percentile)) {
    Require(config.percentile > 50 && config.percentile <= 100, name,
            ": expected a percentile above 50 and up to 100 (minmax), got ", config.percentile);
  }
  if (check("num_bins", static_cast<double>(config.num_bins), static_cast<double>(defaults.num_bins))) {
    Require(config.num_bins >= 2 && config.num_bins <= 65536, name, ": expected 2 to 65536 bins, got ",
            config.num_bins);
  }
  if (check("num_levels", static_cast<double>(config.num_levels), static_cast<double>(defaults.num_levels))) {
    Require(config.num_levels >= 2, name, ": expected at least 2 levels, got ", config.num_levels);
    Require(config.num_bins > config.num_levels, name, ": ", config.num_bins, " bins for ", config.num_levels,
            " levels leave nothing to choose but minmax; expected more bins than levels");
  }
  if (check("averaging_constant", config.averaging_constant, defaults.averaging_constant)) {
    Require(config.averaging_constant > 0 && config.averaging_constant <= 1, name,
            ": expected an averaging constant above 0 and up to 1, got ", config.averaging_constant);
  }
}

}  // namespace quant

bool DependsOnOrder(ObserverKind kind) noexcept { return kind >= ObserverKind::kMovingAverage; }

ObserverConfig ObserverConfig::Default(ObserverKind kind) {
  switch (kind) {
    case ObserverKind::kMinMax:
    case ObserverKind::kMse:
      return {.kind = kind};
    case ObserverKind::kPercentile:
      return {.kind = kind, .percentile = 99.99};
    case ObserverKind::kEntropy:
      return {.kind = kind, .num_bins = 2048, .num_levels = 256};
    case ObserverKind::kMovingAverage:
      return {.kind = kind, .averaging_constant = 0.01};
    case ObserverKind::kHistogram:
      return {.kind = kind, .num_bins = 2048};
    case ObserverKind::kOrtEntropy:
      return {.kind = kind, .num_bins = 2048, .num_levels = 128};
    case ObserverKind::kOrtPercentile:
      return {.kind = kind, .percentile = 99.999, .num_bins = 2048};
  }
  return {.kind = kind};
}

const LayerQConfig& QConfig::OfLayer(std::string_view layer) const {
  const auto matches = [name = std::string(layer)](const LayerOverride& entry) {
    return std::ranges::any_of(entry.layers, [&](const std::string& pattern) { return MatchesPattern(pattern, name); });
  };
  const auto last = std::ranges::find_if(overrides.rbegin(), overrides.rend(), matches);
  return last == overrides.rend() ? layers : last->config;
}

std::vector<std::string_view> KnownPresets() {
  std::vector<std::string_view> names;
  std::ranges::transform(kPresets, std::back_inserter(names), &Preset::name);
  return names;
}

QConfig PresetQConfig(std::string_view name, QConfigUse use) {
  const auto found = std::ranges::find(kPresets, name, &Preset::name);
  if (found == kPresets.end()) {
    Fail(ErrorCode::kInvalidArgument, "unknown preset '", name,
         "'; known: ", fmt::format("{}", fmt::join(KnownPresets(), ", ")));
  }
  QConfig config = found->make();
  if (!use.is_static) {
    config.layers.activations = {.granularity = name == kOurs ? Granularity::kToken : Granularity::kTensor};
  }
  if (!use.has_texts) {
    config.smooth_quant = SmoothQuant::kOff;
    config.gptq = false;
    config.bias_correction = false;
    config.embedding_block = use.is_static ? config.embedding_block : 0;  // docs/numerics.md: they change nothing there
  }
  return config;
}

QConfig ParseQConfig(std::string_view text, QConfigUse use) {
  Json json = ParseJson(text);
  QConfig config = PresetQConfig(kOurs, use);
  if (json.is_object() && json.contains("preset")) {
    if (!json["preset"].is_string()) {
      Fail(ErrorCode::kInvalidFile, "'preset': expected a string, got ", json["preset"].dump());
    }
    config = PresetQConfig(json["preset"].get<std::string>(), use);
    json.erase("preset");
  }
  Json overrides = Json::array();
  ReadObject(json, {Reads("quantize", &config.layers.quantize),
                    ReadsTensor("activations", &config.layers.activations),
                    ReadsTensor("weights", &config.layers.weights),
                    {"overrides", [&](const Json& value) { overrides = value; }},
                    {"smooth_quant", [&](const Json& value) { ReadSmooth(value, &config); }},
                    Reads("gptq", &config.gptq),
                    Reads("bias_correction", &config.bias_correction),
                    Reads("embedding_block", &config.embedding_block),
                    Reads("overflow", &config.overflow),
                    Reads("int8_attention", &config.int8_attention)});
  // Last: they refine what the other keys say, wherever these stand.
  WithFrame([] { return "'overrides'"; }, [&] { ReadOverrides(overrides, config.layers, &config.overrides); });
  CheckQConfig(config, use);
  return config;
}

std::string PrintQConfig(const QConfig& config) {
  Json json = PrintLayer(config.layers);
  json["overrides"] = Json::array();
  for (const LayerOverride& layer : config.overrides) {
    Json entry = {{"layers", layer.layers}};
    entry.update(PrintLayer(layer.config));
    json["overrides"].push_back(std::move(entry));
  }
  json["smooth_quant"] = PrintSmooth(config);
  json["gptq"] = config.gptq;
  json["bias_correction"] = config.bias_correction;
  json["embedding_block"] = config.embedding_block;
  json["overflow"] = NameOf(config.overflow);
  json["int8_attention"] = config.int8_attention;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string DescribeQConfig(const QConfig& config) {
  std::string text = DescribeLayer(config.layers, nullptr);
  for (const LayerOverride& layer : config.overrides) {
    text += fmt::format("but '{}':\n", fmt::join(layer.layers, "', '")) + DescribeLayer(layer.config, &config.layers);
  }
  return text +
         fmt::format(
             "smooth_quant {}, gptq {}, bias_correction {}, embedding_block {}, overflow {}, int8_attention {}\n",
             PrintSmooth(config).dump(), config.gptq, config.bias_correction, config.embedding_block,
             NameOf(config.overflow), config.int8_attention);
}

void CheckQConfig(const QConfig& config, QConfigUse use) {
  CheckLayer(config.layers, config, use);
  for (const LayerOverride& layer : config.overrides) {
    WithFrame([&] { return fmt::format("override of '{}'", fmt::join(layer.layers, "', '")); },
              [&] { CheckLayer(layer.config, config, use); });
  }
  Require(config.smooth_quant == SmoothQuant::kFixed ? config.smooth_alpha > 0 && config.smooth_alpha <= 1
                                                     : config.smooth_alpha == 0,
          "smooth_quant: expected auto, off, or an alpha above 0 and up to 1, got ", config.smooth_alpha);
  constexpr std::array<std::int64_t, 6> kBlocks = {0, 16, 32, 64, 128, 256};
  Require(std::ranges::find(kBlocks, config.embedding_block) != kBlocks.end(),
          "embedding_block: expected 0 (a scale a row), 16, 32, 64, 128 or 256, got ", config.embedding_block);
  Require(config.overflow == Overflow::kNone || config.layers.weights.dtype == CodeType::kS8, "overflow ",
          NameOf(config.overflow),
          ": weights in u8 are widened first and never saturate; expected s8, or overflow none");
  if (!use.has_texts) {
    CheckWithoutTexts(config, use);
  }
}

}  // namespace laconic
