// Rounding with texts, on a small model with random weights: what is decided, and that it helps.

#include "workflows/calibrated_rounding.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "laconic/error.h"
#include "laconic/model.h"
#include "laconic/session.h"
#include "passes/layer_selection.h"
#include "passes/quantize/int8.h"
#include "quant/smooth.h"
#include "quant/weight_range.h"
#include "runtime/testing.h"
#include "workflows/calibration_table.h"

namespace laconic {
namespace {

using ::testing::HasSubstr;

constexpr char kPooler[] = "bert.pooler.dense.weight";

constexpr QConfigUse kDynamic = {.is_static = false};

// The default, but for what is not to be done.
RoundingOptions Options(const std::string& edits = "{}") { return {.qconfig = ParseQConfig(edits, kDynamic)}; }

class CalibratedRoundingTest : public ::testing::Test {
 protected:
  struct Result {
    passes::CalibratedRounding rounding;
    std::map<std::string, quant::QuantParams> ranges;
  };

  Result Round(const RoundingOptions& options) const {
    Result result;
    result.rounding = RoundLinears(graph_, layers_, texts_, options, {}, &result.ranges);
    return result;
  }

  // Of the logits on other texts than those of the calibration.
  double MeanDifference(const RoundingOptions& options) const {
    const Result result = Round(options);
    const passes::Int8Options int8 = {.qconfig = options.qconfig,
                                      .is_static = options.table != nullptr,
                                      .ranges = result.ranges,
                                      .rounding = &result.rounding};
    const Graph quantized = passes::QuantizeInt8(graph_, layers_, int8);
    const std::vector<Encoding> texts = RandomTexts(100, 60, 100, 2);
    const auto logits = [&](const Graph& graph) {
      const Model model(model_.info(), std::make_shared<const Graph>(graph), std::nullopt);
      return Session(CompiledModel::Compile(model), 1).Run(texts);
    };
    const std::vector<float> exact = logits(graph_);
    const std::vector<float> rounded = logits(quantized);
    double sum = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      sum += std::abs(exact[i] - rounded[i]);
    }
    return sum / static_cast<double>(exact.size());
  }

  static std::set<std::string> LinearLayers(const Graph& graph) {
    const std::vector<std::string> names = passes::SelectLayers(graph, {.kinds = {passes::LayerKind::kLinear}});
    return {names.begin(), names.end()};
  }

  static const CalibrationTable* Dynamic() { return nullptr; }
  const CalibrationTable* Static() const { return &table_; }

  // Of random words.
  CalibrationTable TableOf(int num_texts) const {
    std::mt19937 random(3);
    const auto next = [&]() -> std::optional<DatasetRow> {
      DatasetRow row;
      for (int i = 0; i < 60; ++i) {
        row.text += "abcdefghijklmnopqrstuvwxyz0123456789,-.?:"[random() % 41];
        row.text += random() % 2 == 0 ? " " : "";
      }
      return num_texts-- > 0 ? std::optional(row) : std::nullopt;
    };
    return MakeCalibrationTable(model_, next);
  }

  Model model_ = Model::Load("tests/data/tiny_bert");
  const Graph& graph_ = model_.graph();
  std::set<std::string> layers_ = LinearLayers(graph_);
  std::vector<Encoding> texts_ = RandomTexts(64, 60, 100, 1);
  CalibrationTable table_ = TableOf(200);
};

std::vector<std::byte> BytesOf(const Tensor& tensor) {
  const Tensor flat = tensor.Contiguous();
  return {flat.data(), flat.data() + flat.size_bytes()};
}

// Every part of the result, bit for bit.
std::map<std::string, std::vector<std::byte>> AllBytes(const Graph& graph, const passes::CalibratedRounding& rounding) {
  std::map<std::string, std::vector<std::byte>> all;
  for (const auto& [input, factor] : rounding.inv_smooth) {
    all[graph.value(input).name] = BytesOf(factor);
  }
  for (const auto& [weight, linear] : rounding.linears) {
    all[graph.value(weight).name + "/codes"] = BytesOf(linear.codes);
    all[graph.value(weight).name + "/scale"] = BytesOf(linear.scale);
    all[graph.value(weight).name + "/shift"] = BytesOf(linear.bias_shift);
  }
  return all;
}

TEST_F(CalibratedRoundingTest, NeitherThreadsNorMemoryChangeABit) {
  for (const CalibrationTable* table : {Dynamic(), Static()}) {
    RoundingOptions options = Options();
    options.table = table;
    const Result one = Round(options);
    EXPECT_EQ(one.rounding.linears.size(), layers_.size());
    for (const bool is_small : {false, true}) {
      options.threads = is_small ? 1 : 3;
      options.memory_bytes = is_small ? 1 : std::int64_t{256} << 20;
      const Result other = Round(options);
      EXPECT_EQ(AllBytes(graph_, other.rounding), AllBytes(graph_, one.rounding));
      EXPECT_EQ(other.ranges, one.ranges);
    }
  }
}

TEST_F(CalibratedRoundingTest, EachPartHelps) {
  for (const CalibrationTable* table : {Dynamic(), Static()}) {
    RoundingOptions options = Options(R"({"smooth_quant": "off"})");
    options.table = table;
    const double gptq = MeanDifference(options);
    options.qconfig.gptq = false;
    options.qconfig.bias_correction = false;
    const double nearest = MeanDifference(options);
    EXPECT_LT(gptq, 0.9 * nearest);
  }
}

TEST_F(CalibratedRoundingTest, WithoutAnyPartItRoundsToNearest) {
  const Result result = Round(
      Options(R"({"smooth_quant": "off", "gptq": false, "bias_correction": false, "weights": {"range": "reduced"}})"));
  EXPECT_TRUE(result.rounding.inv_smooth.empty());
  EXPECT_TRUE(result.ranges.empty());
  const ValueId id = *graph_.FindValue(kPooler);
  const passes::LinearRounding& got = result.rounding.linears.at(id);
  const Tensor weight = graph_.FindInitializer(id)->Transposed().Contiguous();
  const Tensor codes = got.codes.Transposed().Contiguous();
  const auto cols = static_cast<std::size_t>(weight.shape()[1]);
  std::vector<std::int8_t> expected(cols);
  for (std::size_t row = 0; row < 3; ++row) {
    const std::span<const float> values = weight.values<float>().subspan(row * cols, cols);
    const float scale = quant::AbsMaxScale(values, quant::kReducedS8);
    EXPECT_EQ(got.scale.values<float>()[row], scale);
    quant::RoundRow(values, scale, quant::WeightCodes(quant::kReducedS8), expected);
    EXPECT_TRUE(std::ranges::equal(expected, codes.values<std::int8_t>().subspan(row * cols, cols)));
  }
  EXPECT_EQ(got.bias_shift.num_elements(), 0);
}

TEST_F(CalibratedRoundingTest, AWeightWithOneScale) {
  const RoundingOptions options = Options(R"({"weights": {"granularity": "tensor"}})");
  const Result result = Round(options);
  for (const auto& [weight, linear] : result.rounding.linears) {
    EXPECT_EQ(linear.scale.shape(), Shape{});
  }
  EXPECT_GT(MeanDifference(options), 0);
}

TEST_F(CalibratedRoundingTest, AFixedAlphaSmoothsEveryInput) {
  const Result result = Round(Options(R"({"smooth_quant": 0.5, "gptq": false})"));
  EXPECT_EQ(result.rounding.inv_smooth.size(), 4U * 2 + 2) << "four inputs a layer, pooler, classifier";
  for (const auto& [input, factor] : result.rounding.inv_smooth) {
    double log_mean = 0;
    for (const float value : factor.values<float>()) {
      log_mean += std::log(value);
    }
    EXPECT_NEAR(log_mean, 0, 1e-4);
  }
}

TEST_F(CalibratedRoundingTest, StaticRangesAreThoseOfTheSmoothedRowsOfAllTexts) {
  RoundingOptions options = Options(R"({"smooth_quant": "off"})");
  options.table = &table_;
  options.qconfig.layers.activations = {.dtype = CodeType::kS8};
  const Result plain = Round(options);
  EXPECT_EQ(plain.ranges, RangesFrom(table_, graph_, layers_, options.qconfig));
  options.qconfig.smooth_quant = SmoothQuant::kFixed;
  options.qconfig.smooth_alpha = 1;
  const Result smooth = Round(options);
  EXPECT_EQ(plain.ranges.size(), 4U * 2 + 2);
  for (const auto& [name, params] : plain.ranges) {
    EXPECT_EQ(params.dtype, DType::kS8);
    EXPECT_NE(params.scale, smooth.ranges.at(name).scale);
  }
  options.qconfig.gptq = false;
  options.qconfig.bias_correction = false;
  texts_.clear();
  EXPECT_EQ(Round(options).ranges, smooth.ranges) << "a table is enough";
}

TEST_F(CalibratedRoundingTest, RefusesNoTextsAndWhatIsNotFinite) {
  std::map<std::string, quant::QuantParams> ranges;
  EXPECT_THROW(RoundLinears(graph_, layers_, {}, Options(), {}, &ranges), Error);
  Graph bad;
  GraphCopier copy(graph_, &bad);
  const ValueId norm = *graph_.FindValue("bert.embeddings.LayerNorm.bias");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> values(static_cast<std::size_t>(graph_.FindInitializer(norm)->num_elements()), nan);
  copy.Map(norm, bad.AddInitializer("bert.embeddings.LayerNorm.bias",
                                    Tensor::FromValues<float>(graph_.FindInitializer(norm)->shape(), values)));
  for (const Node& node : graph_.nodes()) {
    copy.CopyNode(node);
  }
  copy.CopyOutputs();
  for (const RoundingOptions& options :
       {Options(), Options(R"({"smooth_quant": "off"})"), Options(R"({"smooth_quant": "off", "gptq": false})")}) {
    EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [&] { RoundLinears(bad, layers_, texts_, options, {}, &ranges); }),
                HasSubstr("finite"));
  }
  RoundingOptions foreign = Options(R"({"smooth_quant": 0.5})");
  foreign.table = &table_;
  EXPECT_THAT(ErrorOf([&] { RoundLinears(bad, layers_, texts_, foreign, {}, &ranges); }),
              HasSubstr("of another model"));
}

}  // namespace
}  // namespace laconic
