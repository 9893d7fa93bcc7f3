#include "quant/ordered_observer.h"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "laconic/error.h"
#include "quant/hex_floats.h"
#include "quant/observer_golden.h"

namespace laconic::quant {
namespace {

std::unique_ptr<OrderedObserver> Make(const TensorQConfig& config) {
  return MakeOrderedObserver(config.observer, config.scheme);
}

std::vector<double> HistogramOf(const nlohmann::ordered_json& state) {
  if (state.contains("counts")) {
    return state["counts"];
  }
  const auto text = state["histogram"].get<std::string>();
  const std::vector<float> histogram = FromHex(text, text.size() / 8);
  return {histogram.begin(), histogram.end()};
}

double Moment(const std::vector<double>& histogram) {
  double sum = 0;
  for (std::size_t i = 0; i < histogram.size(); ++i) {
    sum += static_cast<double>(i + 1) * histogram[i];
  }
  return sum;
}

void Compare(const nlohmann::json& entry) {
  const TensorQConfig config = testing::ConfigOf(entry.at("config"));
  const auto observer = Make(config);
  for (const auto& batch : testing::GoldenBatches(entry.at("tensor"), entry.at("seed"))) {
    observer->AddBatch(batch);
  }
  const Range range = observer->FindRange();
  EXPECT_EQ(range.min, testing::FloatOf(entry.at("min"))) << entry;
  EXPECT_EQ(range.max, testing::FloatOf(entry.at("max"))) << entry;
  const RowParams params = ParamsOf(range, config);
  EXPECT_EQ(params.scale, testing::FloatOf(entry.at("scale"))) << entry;
  EXPECT_EQ(params.zero_point, entry.at("zero_point").get<std::int32_t>()) << entry;
  if (entry.contains("moment")) {
    EXPECT_EQ(Moment(HistogramOf(observer->ToJson())), entry.at("moment").get<double>()) << entry;
  }
}

TEST(OrderedObserver, EqualsPyTorchBitForBit) {
  int compared = 0;
  for (const nlohmann::json& entry : testing::ObserverGolden("torch")) {
    if (entry.at("config").at("observer") != "minmax") {  // which statistics give: ranges_test.cpp
      Compare(entry);
      ++compared;
    }
  }
  EXPECT_GE(compared, 90);
}

TEST(OrderedObserver, EqualsOnnxRuntimeBitForBit) {
  const nlohmann::json golden = testing::ObserverGolden("ort");
  EXPECT_GE(golden.size(), 40U);
  for (const nlohmann::json& entry : golden) {
    Compare(entry);
  }
}

constexpr std::array kOrdered = {ObserverKind::kMovingAverage, ObserverKind::kHistogram, ObserverKind::kOrtEntropy,
                                 ObserverKind::kOrtPercentile};

TEST(OrderedObserver, GoesOnFromASavedState) {
  const auto batches = testing::GoldenBatches("normal", 9);
  for (const ObserverKind kind : kOrdered) {
    for (const Scheme scheme : {Scheme::kAffine, Scheme::kSymmetric}) {
      const TensorQConfig config = {.observer = ObserverConfig::Default(kind), .scheme = scheme};
      const auto whole = Make(config);
      auto parts = Make(config);
      for (const auto& batch : batches) {
        whole->AddBatch(batch);
        parts->AddBatch(batch);
        auto next = Make(config);
        next->Load(nlohmann::ordered_json::parse(parts->ToJson().dump()));
        parts = std::move(next);
      }
      EXPECT_EQ(parts->ToJson(), whole->ToJson());
    }
  }
}

TEST(OrderedObserver, DoesDependOnOrderAndBatches) {
  const auto batches = testing::GoldenBatches("normal", 9);
  for (const ObserverKind kind : kOrdered) {
    EXPECT_TRUE(DependsOnOrder(kind));
    const auto observer = Make({.observer = ObserverConfig::Default(kind)});
    const auto reversed = Make({.observer = ObserverConfig::Default(kind)});
    std::for_each(batches.begin(), batches.end(), [&](const auto& batch) { observer->AddBatch(batch); });
    std::for_each(batches.rbegin(), batches.rend(), [&](const auto& batch) { reversed->AddBatch(batch); });
    EXPECT_NE(observer->ToJson(), reversed->ToJson());
  }
}

TEST(OrderedObserver, RefusesToFindWhatItHasNotSeenOrToGrowWithoutEnd) {
  for (const ObserverKind kind : kOrdered) {
    const auto observer = Make({.observer = ObserverConfig::Default(kind)});
    observer->AddBatch({});
    EXPECT_THROW(observer->FindRange(), Error);
  }
  for (const Scheme scheme : {Scheme::kAffine, Scheme::kSymmetric}) {
    const auto observer = Make({.observer = ObserverConfig::Default(ObserverKind::kOrtPercentile), .scheme = scheme});
    observer->AddBatch(std::vector{0.0F, 1e-3F});
    EXPECT_THROW(observer->AddBatch(std::vector{1e9F}), Error);
    EXPECT_THROW(observer->AddBatch(std::vector{std::numeric_limits<float>::max()}), Error);
  }
  EXPECT_THROW(MakeOrderedObserver({}, Scheme::kAffine), Error);
}

// As of values that are all 1e20: torch.histc widens them by 1, which changes nothing.
TEST(OrderedObserver, ValuesLieInBinsWithoutWidth) {
  std::vector<std::int64_t> counts(2);
  Binning{.edges = {1e20F, 1e20F, 1e20F}, .by_product = true}.Count(std::vector{1e20F, 0.0F, 1e20F}, counts);
  EXPECT_EQ(counts, (std::vector<std::int64_t>{0, 2}));
}

TEST(OrderedObserver, RefusesStatesThatItCannotHaveWritten) {
  for (const ObserverKind kind : kOrdered) {
    const auto observer = Make({.observer = ObserverConfig::Default(kind)});
    observer->AddBatch(std::vector{-1.0F, 2.0F, 3.0F});
    const nlohmann::ordered_json good = observer->ToJson();
    for (const auto& [key, value] : good.items()) {
      for (const nlohmann::ordered_json& bad :
           {nlohmann::ordered_json(), nlohmann::ordered_json("7fc00000"), nlohmann::ordered_json("ff"),
            nlohmann::ordered_json(-1), nlohmann::ordered_json({-1}), nlohmann::ordered_json({~std::uint64_t{0}, 1})}) {
        nlohmann::ordered_json json = good;
        json[key] = bad;
        EXPECT_THROW(observer->Load(json), Error) << key << " " << bad;
      }
      nlohmann::ordered_json json = good;
      json.erase(key);
      EXPECT_THROW(observer->Load(json), Error) << key;
    }
    EXPECT_THROW(observer->Load({}), Error);
    observer->Load(good);
  }
}

}  // namespace
}  // namespace laconic::quant
