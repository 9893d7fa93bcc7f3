// Inside a CalibrationTable: observed values, and which texts were seen.
//
// The file is a JSON object:
//   schema_version  1
//   model           SHA-256 of the float graph's text form
//   max_length      tokens that texts were cut to
//   batch           texts a batch, where an observer depends on it; else 0
//   parts           [{data, shard: [i, n], texts}]: which texts; data is a SHA-256 over all texts of the source
//   rows            only of an interrupted calibration: texts of the source that were passed
//   values          name -> {observer: {kind, ...}, scheme, state}; observer kind "statistics" stands for minmax,
//                   percentile, entropy and mse, which share their state
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "laconic/calibrate.h"
#include "passes/quantize/int8.h"
#include "quant/column_stats.h"
#include "quant/ordered_observer.h"
#include "quant/statistics.h"

namespace laconic {

// An observer that depends on order, and how it was made.
struct OrderedValue {
  ObserverConfig config;
  Scheme scheme = Scheme::kAffine;
  std::shared_ptr<quant::OrderedObserver> observer;
};

using ObservedValue = std::variant<quant::TensorStatistics, OrderedValue>;

struct CalibrationTable::Data {
  struct Part {
    std::string data;
    std::int64_t shard = 0;
    std::int64_t num_shards = 1;
    std::int64_t num_texts = 0;
    auto operator<=>(const Part&) const = default;
  };

  std::string model;
  std::int64_t max_length = 0;
  std::int64_t batch = 0;
  std::vector<Part> parts;  // sorted; the shards of a data set are joined once there are all
  std::optional<std::int64_t> rows;
  std::map<std::string, ObservedValue> values;
  std::string file;  // what it was loaded from, for messages; else empty
};

std::string PrintTable(const CalibrationTable::Data& data);
// A file's text. Errors: kNotFound, kIo; kInvalidFile for one that is too large for a table.
std::string ReadTableFile(const std::filesystem::path& path);
// Also of an interrupted calibration. Errors: kInvalidFile.
CalibrationTable::Data ParseTable(std::string_view text);

// "1/3, 2/3": the shards that it lacks of data sets of which it has another, cut short where there are many.
std::string MissingShards(const CalibrationTable& table);

// Errors: kInvalidArgument for a table of another model than `graph`.
void CheckModelOf(const CalibrationTable& table, const Graph& graph);

// Scale and zero point of each value that the linear layers among `layers` read, as `config` wants them.
// Errors: kInvalidArgument for a value that the table lacks or observed otherwise, or a table of another model.
std::map<std::string, quant::QuantParams> RangesFrom(const CalibrationTable& table, const Graph& graph,
                                                     const std::set<std::string>& layers, const QConfig& config);

// The same of one value, whose columns are multiplied by `inv_smooth` first; empty: they are not. A smoothed value's
// range is that of its columns' extremes.
quant::QuantParams ParamsFrom(const CalibrationTable& table, const std::string& name, const TensorQConfig& config,
                              std::span<const float> inv_smooth = {});

// The exact extremes of its columns. Errors: kInvalidArgument for a value that the table lacks, or whose observer
// depends on order, which keeps none, or that has other than `width` columns.
quant::ColumnRange ColumnRangeFrom(const CalibrationTable& table, const std::string& name, std::int64_t width);

// The SHA-256 that tables know a float graph by.
std::string DigestOf(const Graph& graph);

// MakeCalibrationTable for `layers`. Errors: as that.
CalibrationTable ObserveLayers(const Model& model, const std::set<std::string>& layers, const NextRowFn& next,
                               const CalibrateOptions& options);

// The names of what linear layers of `layers` read, each with the layers that read it; but for layers that `config`
// leaves in float. Errors: kInvalidArgument for layers that share an input and want its activations otherwise.
std::map<std::string, std::vector<std::string>> ObservedInputs(const Graph& graph, const std::set<std::string>& layers,
                                                               const QConfig& config);

}  // namespace laconic
