#include "laconic/qconfig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "laconic/error.h"
#include "quant/testing.h"

namespace laconic {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::string& text, QConfigUse use = {}) {
  return laconic::ErrorOf([&] { ParseQConfig(text, use); });
}

TEST(QConfig, PresetsAreThoseOfTheirTools) {
  const nlohmann::json golden = ReadJsonFile("src/quant/testdata/observer_golden.json").at("presets");
  ASSERT_EQ(golden.size() + 1, KnownPresets().size());
  for (const auto& [name, expected] : golden.items()) {
    const nlohmann::json printed = nlohmann::json::parse(PrintQConfig(PresetQConfig(name)));
    for (const char* tensor : {"activations", "weights"}) {
      for (const auto& [key, value] : expected.at(tensor).items()) {
        EXPECT_EQ(printed.at(tensor).at(key), value) << name << " " << tensor << " " << key;
      }
    }
  }
  EXPECT_EQ(PresetQConfig("laconic"), QConfig());
  EXPECT_THROW(PresetQConfig("tensorrt"), Error);
}

TEST(QConfig, WhatIsPrintedReadsBackToTheSame) {
  std::vector<QConfig> configs;
  for (const std::string_view preset : KnownPresets()) {
    configs.push_back(PresetQConfig(preset));
  }
  QConfig& odd = configs.emplace_back();
  odd.layers.activations.observer = {.kind = ObserverKind::kPercentile, .percentile = 99.9};
  odd.smooth_quant = SmoothQuant::kOff;
  odd.overflow = Overflow::kReduceRange;
  odd.int8_attention = true;
  odd.overrides.push_back({{"*pooler*", "a\"b?"}, {.quantize = false}});
  odd.overrides.push_back({{"*"}, odd.layers});
  odd.overrides[1].config.weights.observer = ObserverConfig::Default(ObserverKind::kMse);
  configs.emplace_back().smooth_quant = SmoothQuant::kFixed;
  configs.back().smooth_alpha = 0.1;
  for (const QConfig& config : configs) {
    const std::string text = PrintQConfig(config);
    EXPECT_EQ(ParseQConfig(text), config) << text;
    EXPECT_EQ(PrintQConfig(ParseQConfig(text)), text);
  }
}

TEST(QConfig, FilesRefinePresets) {
  const QConfig config = ParseQConfig(R"({
    "overrides": [{"layers": ["*output*"], "weights": {"observer": "mse"}}, {"layers": ["*pooler"], "quantize": false}],
    "preset": "fbgemm", "activations": {"range": "full"}})");
  QConfig expected = PresetQConfig("fbgemm");
  expected.layers.activations.range = CodeRange::kFull;
  EXPECT_EQ(config.OfLayer("encoder.intermediate"), expected.layers);
  EXPECT_FALSE(config.OfLayer("bert.pooler").quantize);
  LayerQConfig output = expected.layers;
  output.weights.observer.kind = ObserverKind::kMse;
  EXPECT_EQ(config.OfLayer("encoder.output.dense"), output);
  EXPECT_EQ(ParseQConfig("{}"), QConfig());
}

TEST(QConfig, TheLastMatchingOverrideHolds) {
  const QConfig config =
      ParseQConfig(R"({"overrides": [{"layers": ["a*"], "quantize": false}, {"layers": ["ab", "x"]}]})");
  EXPECT_FALSE(config.OfLayer("ac").quantize);
  EXPECT_TRUE(config.OfLayer("ab").quantize);
  EXPECT_TRUE(config.OfLayer("b").quantize);
}

TEST(QConfig, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(ErrorOf(R"({"preset": 3})"), HasSubstr("'preset': expected a string, got 3"));
  EXPECT_THAT(ErrorOf(R"({"preset": "tflite"})"), HasSubstr("unknown preset 'tflite'; known: laconic, onnxruntime"));
  EXPECT_THAT(ErrorOf(R"({"activation": {}})"), HasSubstr("unknown key; known: quantize, activations"));
  EXPECT_THAT(ErrorOf(R"({"weights": {"dtype": "s4"}})"), HasSubstr("expected one of s8, u8, got \"s4\""));
  EXPECT_THAT(ErrorOf(R"({"weights": {"observer": {"kind": "minmax", "percentile": 99}}})"), HasSubstr("'percentile'"));
  EXPECT_THAT(ErrorOf(R"({"weights": {"observer": {"percentile": 99}}})"), HasSubstr("with its 'kind'"));
  EXPECT_THAT(ErrorOf(R"({"gptq": 1})"), HasSubstr("expected true or false, got 1"));
  EXPECT_THAT(ErrorOf(R"({"int8_attention": "on"})"), HasSubstr("expected true or false, got \"on\""));
  EXPECT_THAT(ErrorOf(R"({"smooth_quant": "on"})"), HasSubstr("expected auto, off or a number"));
  EXPECT_THAT(ErrorOf(R"({"overrides": [{"quantize": false}]})"), HasSubstr("expected 'layers'"));
  EXPECT_THAT(ErrorOf(R"({"overrides": [{"layers": "*"}]})"), HasSubstr("expected a list of strings"));
  EXPECT_THAT(ErrorOf(R"({"embedding_block": 32.5})"), HasSubstr("expected an integer"));
  EXPECT_THAT(ErrorOf(R"({"embedding_block": 18446744073709551615})"), HasSubstr("expected an integer"));
}

TEST(QConfig, RefusesWhatDoesNothingOrContradictsItself) {
  const auto activations = [](const std::string& text) {
    return ErrorOf(R"({"smooth_quant": "off", "activations": )" + text + "}");
  };
  EXPECT_THAT(activations(R"({"observer": {"kind": "entropy", "num_bins": 256}})"),
              HasSubstr("256 bins for 256 levels leave nothing to choose but minmax"));
  EXPECT_THAT(activations(R"({"observer": {"kind": "ort_entropy", "num_bins": 128}})"), HasSubstr("leave nothing"));
  EXPECT_THAT(activations(R"({"observer": {"kind": "percentile", "percentile": 50}})"), HasSubstr("above 50"));
  EXPECT_THAT(activations(R"({"observer": {"kind": "percentile", "percentile": 100.1}})"), HasSubstr("above 50"));
  EXPECT_EQ(activations(R"({"observer": {"kind": "percentile", "percentile": 100}})"), "no error");
  EXPECT_THAT(activations(R"({"observer": {"kind": "moving_average", "averaging_constant": 0}})"),
              HasSubstr("above 0"));
  EXPECT_THAT(activations(R"({"observer": {"kind": "histogram", "num_bins": 65537}})"), HasSubstr("65536 bins"));
  EXPECT_THAT(activations(R"({"granularity": "channel"})"), HasSubstr("sums over its input's channels"));
  EXPECT_THAT(activations(R"({"granularity": "token"})"), HasSubstr("only as the model runs"));
  EXPECT_THAT(activations(R"({"convention": "pytorch", "range": "reduced", "scheme": "symmetric"})"),
              HasSubstr("zero point 128"));
  EXPECT_THAT(ErrorOf(R"({"activations": {"observer": "percentile"}})"), HasSubstr("smooth_quant off"));
  EXPECT_THAT(ErrorOf(R"({"weights": {"granularity": "token"}})"), HasSubstr("no tokens"));
  EXPECT_THAT(ErrorOf(R"({"weights": {"observer": "histogram"}})"), HasSubstr("expected minmax or mse"));
  EXPECT_THAT(ErrorOf(R"({"weights": {"scheme": "affine"}})"), HasSubstr("expected symmetric"));
  EXPECT_THAT(ErrorOf(R"({"smooth_quant": 1.5})"), HasSubstr("up to 1, got 1.5"));
  EXPECT_THAT(ErrorOf(R"({"embedding_block": 31})"), HasSubstr("got 31"));
  EXPECT_THAT(ErrorOf(R"({"overrides": [{"layers": ["a", "b*"], "weights": {"scheme": "affine"}}]})"),
              HasSubstr("override of 'a', 'b*'"));
  QConfig config;
  config.layers.activations.observer.num_bins = 7;
  EXPECT_THROW(CheckQConfig(config), Error) << "a setting of another kind";
}

constexpr QConfigUse kDynamic = {.is_static = false};

TEST(QConfig, PresetsOfDynamicQuantizationHaveNoObservers) {
  for (const std::string_view name : KnownPresets()) {
    const QConfig config = PresetQConfig(name, kDynamic);
    EXPECT_NO_THROW(CheckQConfig(config, kDynamic)) << name;
    EXPECT_EQ(config.layers.weights, PresetQConfig(name).layers.weights) << name;
    EXPECT_EQ(config.layers.activations.granularity, name == "laconic" ? Granularity::kToken : Granularity::kTensor);
  }
  const auto activations = [](const std::string& text) {
    return ErrorOf(R"({"activations": )" + text + "}", kDynamic);
  };
  EXPECT_EQ(activations(R"({"granularity": "tensor"})"), "no error");
  EXPECT_THAT(activations(R"({"observer": "mse"})"), HasSubstr("would do nothing"));
  for (const char* text : {R"({"dtype": "s8"})", R"({"range": "reduced"})", R"({"convention": "pytorch"})"}) {
    EXPECT_THAT(activations(text), HasSubstr("full affine u8 by ONNX's arithmetic")) << text;
  }
}

TEST(QConfig, WithoutTextsNothingIsChosenByThem) {
  for (const bool is_static : {true, false}) {
    const QConfigUse use = {.is_static = is_static, .has_texts = false};
    for (const std::string_view name : KnownPresets()) {
      EXPECT_NO_THROW(CheckQConfig(PresetQConfig(name, use), use)) << name;
    }
    EXPECT_THAT(ErrorOf(R"({"gptq": true})", use), HasSubstr("gptq needs texts"));
    EXPECT_THAT(ErrorOf(R"({"bias_correction": true})", use), HasSubstr("bias_correction needs texts"));
    EXPECT_THAT(ErrorOf(R"({"smooth_quant": "auto"})", use), HasSubstr("needs texts to choose by"));
    EXPECT_EQ(ErrorOf(R"({"smooth_quant": 0.5})", use) == "no error", is_static) << "a table has what that needs";
  }
}

TEST(QConfig, DescribesItselfInAFewLines) {
  const QConfig config = ParseQConfig(
      R"({"preset": "x86", "overrides": [{"layers": ["*pooler*"], "quantize": false}, {"layers": ["a", "b"], "weights":
      {"dtype": "u8", "range": "full"}}]})");
  EXPECT_EQ(DescribeQConfig(config),
            "  activations  affine u8 in 7 bits, a scale a tensor, range by histogram, num_bins 2048, arithmetic of "
            "pytorch\n"
            "  weights      symmetric s8, a scale a channel, range by minmax, arithmetic of pytorch\n"
            "but '*pooler*':\n"
            "  stays in float\n"
            "but 'a', 'b':\n"
            "  weights      symmetric u8, a scale a channel, range by minmax, arithmetic of pytorch\n"
            "smooth_quant \"off\", gptq false, bias_correction false, embedding_block 0, overflow none, int8_attention "
            "false\n");
}

}  // namespace
}  // namespace laconic
