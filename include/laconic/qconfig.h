// How a model is quantized, as a value that can be printed and read: for activations and weights which observer finds
// the range, which codes it is given and how finely; what else is done; and exceptions by layer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace laconic {

// Who finds the range of a tensor's values (docs/numerics.md, "Observers").
enum class ObserverKind : std::uint8_t {
  // From exact extremes and counts, which depend on neither the order of the texts nor their batches:
  kMinMax,
  kPercentile,
  kEntropy,
  kMse,
  // As PyTorch and ONNX Runtime compute them, from batch after batch:
  kMovingAverage,  // torch.ao.quantization.MovingAverageMinMaxObserver
  kHistogram,      // torch.ao.quantization.HistogramObserver
  kOrtEntropy,     // onnxruntime.quantization.EntropyCalibrater
  kOrtPercentile,  // onnxruntime.quantization.PercentileCalibrater
};

// Whether the range depends on the order of the texts and on their batches. Such calibration cannot be sharded.
bool DependsOnOrder(ObserverKind kind) noexcept;

// Settings that a kind does not have are 0.
struct ObserverConfig {
  ObserverKind kind = ObserverKind::kMinMax;
  double percentile = 0;          // percentile, ort_percentile: of the values (symmetric: magnitudes) that stay inside
  std::int64_t num_bins = 0;      // entropy, histogram, ort_entropy, ort_percentile
  std::int64_t num_levels = 0;    // entropy, ort_entropy: what the bins are merged into
  double averaging_constant = 0;  // moving_average

  // `kind` with the settings that PyTorch and ONNX Runtime give it unasked, but for ort_entropy: its 128 bins for 128
  // levels choose nothing; here 2048.
  static ObserverConfig Default(ObserverKind kind);

  bool operator==(const ObserverConfig&) const = default;
};

enum class CodeType : std::uint8_t { kS8, kU8 };
enum class CodeRange : std::uint8_t { kFull, kReduced };  // reduced: 7 bits, for CPUs whose u8 * s8 sums saturate
enum class Scheme : std::uint8_t { kAffine, kSymmetric };
enum class Granularity : std::uint8_t { kTensor, kChannel, kToken };  // what has a scale of its own
// Whose arithmetic makes scale and zero point of a range, and what "reduced" and "symmetric" mean.
enum class Convention : std::uint8_t { kOnnxRuntime, kPyTorch };

struct TensorQConfig {
  ObserverConfig observer;
  CodeType dtype = CodeType::kU8;
  CodeRange range = CodeRange::kFull;
  Scheme scheme = Scheme::kAffine;
  Granularity granularity = Granularity::kTensor;
  Convention convention = Convention::kOnnxRuntime;

  bool operator==(const TensorQConfig&) const = default;
};

struct LayerQConfig {
  bool quantize = true;  // false: the layer stays in float
  TensorQConfig activations;
  TensorQConfig weights = {.dtype = CodeType::kS8, .scheme = Scheme::kSymmetric, .granularity = Granularity::kChannel};

  bool operator==(const LayerQConfig&) const = default;
};

struct LayerOverride {
  std::vector<std::string> layers;  // shell patterns of layer names, as in QuantizeOptions
  LayerQConfig config;

  bool operator==(const LayerOverride&) const = default;
};

enum class SmoothQuant : std::uint8_t { kOff, kAuto, kFixed };  // auto: alpha chosen per layer
// Which weights get 7 bits, so that their sums cannot saturate on CPUs without VNNI.
enum class Overflow : std::uint8_t {
  kNone,         // as their range says: Laconic's own kernels do not saturate
  kAuto,         // those that need it: QuantizeWithoutOverflow (certify.h) finds them
  kReduceRange,  // all
};

struct QConfig {
  LayerQConfig layers;                   // every layer, but for
  std::vector<LayerOverride> overrides;  // of those that match a layer the last holds

  SmoothQuant smooth_quant = SmoothQuant::kAuto;
  double smooth_alpha = 0;  // kFixed: 0 < alpha <= 1
  bool gptq = true;
  bool bias_correction = true;
  std::int64_t embedding_block = 32;  // columns of an embedding's row that share a scale; 0: the whole row
  Overflow overflow = Overflow::kNone;
  // Products of attention on INT8 codes found as the model runs (docs/numerics.md, "INT8 attention"), static or
  // dynamic.
  bool int8_attention = false;

  const LayerQConfig& OfLayer(std::string_view layer) const;

  bool operator==(const QConfig&) const = default;
};

// What a QConfig is for.
struct QConfigUse {
  bool is_static = true;  // scales of activations are known before the model runs; else found as it runs
  bool has_texts = true;  // to choose smoothing and rounding by; else a calibration table, or nothing
};

// "laconic" (the default; what measured best), "onnxruntime" (quantize_static), and PyTorch's get_default_qconfig:
// "fbgemm", "qnnpack", "x86", "onednn". The latter five do what those do and nothing else.
std::vector<std::string_view> KnownPresets();

// A preset as far as `use` allows. Dynamic: activations are u8, with a scale a token ("laconic") or a text (the
// others), and no observer. Without texts: no smoothing, GPTQ or bias correction. Errors: kInvalidArgument listing the
// presets.
QConfig PresetQConfig(std::string_view name, QConfigUse use = {});

// A JSON object. "preset" names what the other keys refine (default "laconic"); an override refines what stands outside
// of it. Errors: kInvalidFile naming an unknown key, a wrong type or value; kInvalidArgument as CheckQConfig.
QConfig ParseQConfig(std::string_view text, QConfigUse use = {});

// All settings, in an order of their own: PrintQConfig(ParseQConfig(text)) == text for what PrintQConfig wrote.
std::string PrintQConfig(const QConfig& config);

// Several lines for people: what holds for all layers, then what each override changes.
std::string DescribeQConfig(const QConfig& config);

// Errors: kInvalidArgument for settings that contradict each other, can do nothing or cannot run, with the reason.
void CheckQConfig(const QConfig& config, QConfigUse use = {});

}  // namespace laconic
