#include "laconic/calibrate.h"

#include <algorithm>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/testing.h"
#include "laconic/error.h"
#include "passes/layer_selection.h"
#include "quant/ranges.h"
#include "runtime/tap.h"
#include "workflows/calibration_table.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;

using ::testing::HasSubstr;

class CalibrateTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kNumTexts = 203;

  static std::string TextOf(std::int64_t i) {
    return std::string(i % 7 == 0 ? "to " : "") + "ba mu " + std::to_string(i * 7919 % 1000) +
           (i % 5 == 0 ? " be to ba mu be to" : "");
  }

  // Texts 0 ... kNumTexts - 1 in this order, `stop` of them before a cancellation.
  static NextRowFn Texts(std::int64_t stop = -1) {
    return [i = std::int64_t{0}, stop]() mutable -> std::optional<DatasetRow> {
      if (i == stop) {
        Fail(ErrorCode::kCancelled, "stop");
      }
      return i < kNumTexts ? std::optional(DatasetRow{.text = TextOf(i++)}) : std::nullopt;
    };
  }

  CalibrationTable Calibrate(CalibrateOptions options, const NextRowFn& next = Texts()) {
    options.run.threads = std::max(1, options.run.threads);
    return MakeCalibrationTable(model_, next, options);
  }

  static CalibrateOptions With(ObserverKind kind, Scheme scheme = Scheme::kAffine) {
    CalibrateOptions options;
    options.qconfig.smooth_quant = SmoothQuant::kOff;
    ObserverConfig& observer = options.qconfig.layers.activations.observer;
    observer = ObserverConfig::Default(kind);
    observer.num_bins = std::min<std::int64_t>(observer.num_bins, 300);  // for speed
    options.qconfig.layers.activations.scheme = scheme;
    return options;
  }

  const Model model_ = Model::Load("tests/data/tiny_bert");
};

// Extremes and counts by another way through the same tap.
TEST_F(CalibrateTest, ObservesWhatTheLayersRead) {
  class Sink final : public runtime::TapSink {
   public:
    void TakeRows(const runtime::TapRows& rows) noexcept override {
      const std::lock_guard lock(mutex_);
      auto& [min, max, count] = seen[rows.value];
      for (std::int64_t i = 0; i < rows.num_rows * rows.width; ++i) {
        const float value = rows.data[i / rows.width * rows.stride + i % rows.width];
        min = std::min(min, value);
        max = std::max(max, value);
        ++count;
      }
    }
    std::map<std::size_t, std::tuple<float, float, std::uint64_t>> seen;

   private:
    std::mutex mutex_;
  };
  const CalibrationTable table = Calibrate({});
  const std::vector<std::string> names = table.value_names();
  Sink sink;
  Session session(runtime::CompileTapped(model_.graph(), names, &sink), 1);
  for (std::int64_t i = 0; i < kNumTexts; ++i) {
    session.Run(std::vector{model_.tokenizer().Encode(TextOf(i), model_.info().max_length)});
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& statistics = std::get<quant::TensorStatistics>(table.data().values.at(names[i]));
    const auto& [min, max, count] = sink.seen.at(i);
    EXPECT_EQ(std::min(0.0F, statistics.range().min), min) << names[i];
    EXPECT_EQ(std::max(0.0F, statistics.range().max), max);
    EXPECT_EQ(statistics.count(), count);
  }
  EXPECT_EQ(table.num_texts(), kNumTexts);
}

TEST_F(CalibrateTest, DependsOnNeitherBatchesNorThreads) {
  const std::string expected = Calibrate({}).Print();
  for (const auto& [batch, threads] : {std::pair{1, 1}, {7, 2}, {64, 3}, {1000, 1}}) {
    CalibrateOptions options;
    options.run = {.batch = batch, .threads = threads};
    EXPECT_EQ(Calibrate(options).Print(), expected) << batch << " " << threads;
  }
}

TEST_F(CalibrateTest, MergedShardsAreOnePassByteForByte) {
  const CalibrationTable whole = Calibrate({});
  EXPECT_EQ(CalibrationTable::Parse(whole.Print()).Print(), whole.Print());
  for (const std::int64_t num_shards : {2, 3, 7}) {
    std::vector<CalibrationTable> shards;
    for (std::int64_t shard = num_shards - 1; shard >= 0; --shard) {
      CalibrateOptions options;
      options.shard = shard;
      options.num_shards = num_shards;
      shards.push_back(CalibrationTable::Parse(Calibrate(options).Print()));
    }
    EXPECT_EQ(CalibrationTable::Merge(shards).Print(), whole.Print());
    EXPECT_EQ(MissingShards(CalibrationTable::Merge(shards)), "");
    std::ranges::reverse(shards);
    const CalibrationTable some = CalibrationTable::Merge({shards.begin(), shards.end() - 1});
    EXPECT_NE(some.Print(), whole.Print());
    EXPECT_EQ(MissingShards(some), std::to_string(num_shards - 1) + "/" + std::to_string(num_shards));
    EXPECT_EQ(CalibrationTable::Merge({shards.back(), some}).Print(), whole.Print());
  }
}

TEST_F(CalibrateTest, NamesTheShardsThatItLacks) {
  CalibrateOptions options;
  options.num_shards = 100;
  options.shard = 1;
  EXPECT_EQ(MissingShards(Calibrate(options)), "0/100, 2/100, 3/100, 4/100, 5/100, 6/100, 7/100, 8/100, ...");
}

TEST_F(CalibrateTest, MergesNoTablesThatDoNotFit) {
  CalibrateOptions options;
  options.num_shards = 2;
  const CalibrationTable half = Calibrate(options);
  EXPECT_THAT(ErrorOf([&] { CalibrationTable::Merge({half, half}); }), HasSubstr("some would count twice"));
  EXPECT_THAT(ErrorOf([&] { CalibrationTable::Merge({half, Calibrate({})}); }), HasSubstr("count twice"));
  options.shard = 1;
  options.run.max_length = 8;
  EXPECT_THAT(ErrorOf([&] { CalibrationTable::Merge({half, Calibrate(options)}); }), HasSubstr("cut to"));
  options.run.max_length = 0;
  options.exclude = {"*pooler*"};
  EXPECT_THAT(ErrorOf([&] { CalibrationTable::Merge({half, Calibrate(options)}); }), HasSubstr("different layers"));
  const Model other = Model::Load("tests/data/tiny_electra");
  options.exclude.clear();
  options.run.threads = 1;
  EXPECT_THAT(ErrorOf([&] {
                CalibrationTable::Merge({half, MakeCalibrationTable(other, Texts(), options)});
              }),
              HasSubstr("different models"));
  EXPECT_THAT(ErrorOf([&] { CalibrationTable::Merge({}); }), HasSubstr("no table"));
  const CalibrationTable ordered = Calibrate(With(ObserverKind::kHistogram));
  EXPECT_THAT(ErrorOf([&] {
                CalibrationTable::Merge({ordered, Calibrate(With(ObserverKind::kHistogram), [n = 3]() mutable {
                                           return n-- > 0 ? std::optional(DatasetRow{.text = "ba"}) : std::nullopt;
                                         })});
              }),
              HasSubstr("order of the texts"));
}

constexpr std::array kKinds = {ObserverKind::kMinMax, ObserverKind::kMovingAverage, ObserverKind::kHistogram,
                               ObserverKind::kOrtEntropy, ObserverKind::kOrtPercentile};

TEST_F(CalibrateTest, GoesOnWhereItWasInterrupted) {
  const TemporaryDirectory directory;
  for (const ObserverKind kind : kKinds) {
    CalibrateOptions options = With(kind);
    options.run.batch = 4;
    const std::string expected = Calibrate(options).Print();
    options.checkpoint = directory.path() / "table.partial";
    for (const std::int64_t stop : {50, 60, 120, 199}) {
      EXPECT_THAT(ErrorOf([&] { Calibrate(options, Texts(stop)); }), HasSubstr("stop"));
      ASSERT_TRUE(fs::exists(options.checkpoint));
      EXPECT_THAT(ErrorOf([&] { CalibrationTable::Load(options.checkpoint); }), HasSubstr("was interrupted after"));
    }
    CalibrateOptions otherwise = options;
    otherwise.run.max_length = 9;
    EXPECT_THAT(ErrorOf([&] { Calibrate(otherwise); }),
                HasSubstr("to start anew, remove '" + options.checkpoint.string() + "' or"));
    EXPECT_THAT(ErrorOf([&] { Calibrate(options, [] { return DatasetRow{.text = "other"}; }); }),
                HasSubstr("to start anew"));
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(Calibrate(options).Print(), expected);
    }
    EXPECT_TRUE(fs::remove(options.checkpoint)) << "the caller's to remove: the table may yet be lost";
  }
}

// The observers themselves are compared with PyTorch and ONNX Runtime in src/quant: here, that they see whole batches.
TEST_F(CalibrateTest, OrderedObserversSeeBatchAfterBatch) {
  for (const ObserverKind kind : kKinds) {
    for (const Scheme scheme : {Scheme::kAffine, Scheme::kSymmetric}) {
      CalibrateOptions options = With(kind, scheme);
      options.run = {.batch = 4, .threads = 1};
      const CalibrationTable table = Calibrate(options);
      options.run.threads = 3;
      EXPECT_EQ(Calibrate(options).Print(), table.Print());
      EXPECT_EQ(CalibrationTable::Parse(table.Print()).Print(), table.Print());
      options.run.batch = 5;
      EXPECT_EQ(Calibrate(options).Print() == table.Print(), !DependsOnOrder(kind));
      const std::vector<std::string> selected = passes::SelectLayers(model_.graph(), {});
      const std::set<std::string> layers(selected.begin(), selected.end());
      for (const auto& [name, params] : RangesFrom(table, model_.graph(), layers, options.qconfig)) {
        EXPECT_GT(params.scale, 0) << name;
      }
      const QConfig other = With(ObserverKind::kMovingAverage, scheme).qconfig;
      if (DependsOnOrder(kind) && kind != ObserverKind::kMovingAverage) {
        EXPECT_THAT(ErrorOf([&] { RangesFrom(table, model_.graph(), layers, other); }), HasSubstr("but wanted is"));
      }
    }
  }
}

TEST_F(CalibrateTest, RefusesWhatCannotBe) {
  CalibrateOptions options = With(ObserverKind::kHistogram);
  options.num_shards = 2;
  EXPECT_THAT(ErrorOf([&] { Calibrate(options); }), HasSubstr("cannot be sharded"));
  options = {};
  options.shard = 2;
  options.num_shards = 2;
  EXPECT_THAT(ErrorOf([&] { Calibrate(options); }), HasSubstr("expected a shard from 0 to 1, got 2"));
  EXPECT_THAT(ErrorOf([&] { Calibrate({}, [] { return std::optional<DatasetRow>(); }); }), HasSubstr("no text"));
  options = {};
  options.qconfig.overrides.push_back({{"*lstm*"}, {}});
  EXPECT_THAT(ErrorOf([&] { Calibrate(options); }), HasSubstr("no layer matches '*lstm*'"));
  options = With(ObserverKind::kMinMax);
  options.qconfig.overrides.push_back({{"*query"}, options.qconfig.layers});
  options.qconfig.overrides[0].config.activations.dtype = CodeType::kS8;
  EXPECT_THAT(ErrorOf([&] { Calibrate(options); }), HasSubstr("share their input"));
  options.qconfig.overrides[0] = {{"*"}, {.quantize = false}};
  EXPECT_THAT(ErrorOf([&] { Calibrate(options); }), HasSubstr("leaves every selected layer in float"));
}

TEST_F(CalibrateTest, RefusesHostileTables) {
  const std::string good = Calibrate({}).Print();
  for (std::size_t size = 0; size + 1 < good.size(); size += 1 + good.size() / 200) {
    EXPECT_THROW(CalibrationTable::Parse(good.substr(0, size)), Error);
  }
  const auto refuses = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    EXPECT_THROW(CalibrationTable::Parse(text), Error) << to;
  };
  refuses("\"schema_version\":1", "\"schema_version\":2");
  refuses("\"shard\":[0,1]", "\"shard\":[1,1]");
  refuses("\"shard\":[0,1]", "\"shard\":[-1,1]");
  refuses("\"shard\":[0,1]", "\"shard\":[]");
  refuses("\"texts\":203", "\"texts\":-1");
  refuses("\"kind\":\"statistics\"", "\"kind\":\"histogram\"");
  refuses("\"kind\":\"statistics\"", "\"kind\":\"minmax\"");
  refuses("\"width\":", "\"width\":1");
  refuses("\"values\":{", "\"values\":[],\"x\":{");
}

}  // namespace
}  // namespace laconic
