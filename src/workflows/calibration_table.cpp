#include "workflows/calibration_table.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "graph/text_form.h"
#include "laconic/error.h"
#include "passes/layer_selection.h"
#include "quant/hex_floats.h"
#include "quant/qconfig_json.h"
#include "quant/ranges.h"
#include "quant/smooth.h"

namespace laconic {
namespace {

using Json = nlohmann::ordered_json;
using Data = CalibrationTable::Data;
using quant::Member;

constexpr const char* kStatistics = "statistics";

Json PrintValue(const ObservedValue& value) {
  if (const auto* statistics = std::get_if<quant::TensorStatistics>(&value)) {
    return {{"observer", {{"kind", kStatistics}}}, {"state", statistics->ToJson()}};
  }
  const auto& ordered = std::get<OrderedValue>(value);
  return {{"observer", quant::PrintObserver(ordered.config)},
          {"symmetric", ordered.scheme == Scheme::kSymmetric},
          {"state", ordered.observer->ToJson()}};
}

ObservedValue ParseValue(const Json& json) {
  const Json observer = Member<Json>(json, "observer");
  const Json state = Member<Json>(json, "state");
  if (Member<std::string>(observer, "kind") == kStatistics) {
    return quant::TensorStatistics::FromJson(state);
  }
  OrderedValue value = {.config = quant::ParseObserver(observer)};
  const Json symmetric = Member<Json>(json, "symmetric");
  if (!symmetric.is_boolean() || !DependsOnOrder(value.config.kind)) {
    Fail(ErrorCode::kInvalidFile, "expected an observer that depends on order, and whether it is symmetric");
  }
  quant::CheckObserver(value.config);
  value.scheme = symmetric.get<bool>() ? Scheme::kSymmetric : Scheme::kAffine;
  value.observer = quant::MakeOrderedObserver(value.config, value.scheme);
  value.observer->Load(state);
  return value;
}

std::int64_t Natural(const Json& object, const char* key) {
  const auto value = Member<std::int64_t>(object, key);
  if (value < 0) {
    Fail(ErrorCode::kInvalidFile, "'", key, "': expected at least 0, got ", value);
  }
  return value;
}

Data::Part ParsePart(const Json& json) {
  const std::vector<std::uint64_t> shard = quant::Integers(Member<Json>(json, "shard"));
  if (shard.size() != 2 || shard[1] > INT64_MAX || shard[0] >= shard[1]) {
    Fail(ErrorCode::kInvalidFile, "'shard': expected i and n, i below n");
  }
  return {Member<std::string>(json, "data"), static_cast<std::int64_t>(shard[0]), static_cast<std::int64_t>(shard[1]),
          Natural(json, "texts")};
}

// Sorts `parts`, and joins those that are all shards of a data set.
void JoinShards(std::vector<Data::Part>* parts) {
  std::ranges::sort(*parts);
  std::map<std::pair<std::string, std::int64_t>, std::vector<Data::Part>> sets;
  for (const Data::Part& part : *parts) {
    sets[{part.data, part.num_shards}].push_back(part);
  }
  parts->clear();
  for (auto& [key, shards] : sets) {
    if (static_cast<std::int64_t>(shards.size()) == key.second) {
      std::int64_t num_texts = 0;
      std::ranges::for_each(shards, [&](const Data::Part& part) { num_texts += part.num_texts; });
      shards = {{key.first, 0, 1, num_texts}};
    }
    parts->insert(parts->end(), shards.begin(), shards.end());
  }
  std::ranges::sort(*parts);
}

// Whether some text is in both. Shards of different counts overlap unless proved otherwise, so they are refused.
bool Overlap(const Data::Part& a, const Data::Part& b) {
  return a.data == b.data && (a.num_shards != b.num_shards || a.shard == b.shard);
}

void CheckMergeable(const Data& table, const Data& other) {
  const auto require = [](bool condition, const auto&... message) {
    if (!condition) {
      Fail(ErrorCode::kInvalidArgument, message...);
    }
  };
  require(table.model == other.model, "tables of different models: ", table.model.substr(0, 12), " and ",
          other.model.substr(0, 12));
  require(table.max_length == other.max_length, "tables of texts cut to ", table.max_length, " and to ",
          other.max_length, " tokens");
  require(std::ranges::equal(table.values, other.values, {}, &decltype(table.values)::value_type::first,
                             &decltype(table.values)::value_type::first),
          "tables of different layers");
  for (const Data::Part& part : table.parts) {
    for (const Data::Part& added : other.parts) {
      require(!Overlap(part, added), "shard ", part.shard, "/", part.num_shards, " and shard ", added.shard, "/",
              added.num_shards, " of the same texts: some would count twice");
    }
  }
}

void MergeInto(Data* table, const Data& other) {
  CheckMergeable(*table, other);
  for (auto& [name, value] : table->values) {
    WithFrame([&, &name = name] { return "value '" + name + "'"; },
              [&, &name = name, &value = value] {
                auto* statistics = std::get_if<quant::TensorStatistics>(&value);
                const auto* added = std::get_if<quant::TensorStatistics>(&other.values.at(name));
                if (statistics == nullptr || added == nullptr) {
                  Fail(ErrorCode::kInvalidArgument,
                       "its observer depends on the order of the texts, so tables cannot be merged");
                }
                statistics->Merge(*added);
              });
  }
  table->parts.insert(table->parts.end(), other.parts.begin(), other.parts.end());
}

quant::Range RangeOfValue(const ObservedValue& value, const TensorQConfig& config) {
  if (const auto* statistics = std::get_if<quant::TensorStatistics>(&value)) {
    return quant::RangeOf(*statistics, config);
  }
  const auto& ordered = std::get<OrderedValue>(value);
  if (ordered.config != config.observer || ordered.scheme != config.scheme) {
    Fail(ErrorCode::kInvalidArgument, "the table was made with observer ", quant::PrintObserver(ordered.config).dump(),
         ", but wanted is ", quant::PrintObserver(config.observer).dump());
  }
  return ordered.observer->FindRange();
}

const ObservedValue& FindObserved(const CalibrationTable& table, const std::string& name) {
  const auto found = table.data().values.find(name);
  if (found == table.data().values.end()) {
    Fail(ErrorCode::kInvalidArgument, "the calibration table lacks it");
  }
  return found->second;
}

// A table that no calibration is still at work on.
Data ParseFinished(std::string_view text) {
  Data data = ParseTable(text);
  if (data.rows) {
    Fail(ErrorCode::kInvalidFile, "the calibration was interrupted after ", *data.rows,
         " texts; run it again, and it goes on");
  }
  return data;
}

// Runs `body`, whose errors name the file of a table that has one.
template <typename Body>
decltype(auto) InFileOf(const CalibrationTable& table, const Body& body) {
  const std::string& file = table.data().file;
  return file.empty() ? body() : WithFrame([&] { return "file '" + file + "'"; }, body);
}

}  // namespace

std::string PrintTable(const Data& data) {
  Json parts = Json::array();
  for (const Data::Part& part : data.parts) {
    parts.push_back({{"data", part.data}, {"shard", {part.shard, part.num_shards}}, {"texts", part.num_texts}});
  }
  Json values = Json::object();
  for (const auto& [name, value] : data.values) {
    values[name] = PrintValue(value);
  }
  Json json = {{"schema_version", 1},
               {"model", data.model},
               {"max_length", data.max_length},
               {"batch", data.batch},
               {"parts", std::move(parts)}};
  if (data.rows) {
    json["rows"] = *data.rows;
  }
  json["values"] = std::move(values);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Data ParseTable(std::string_view text) {
  const Json json = ParseJson(text);
  if (const auto version = Member<std::int64_t>(json, "schema_version"); version != 1) {
    Fail(ErrorCode::kInvalidFile, "expected a calibration table of schema version 1, got ", version);
  }
  Data data = {.model = Member<std::string>(json, "model"),
               .max_length = Natural(json, "max_length"),
               .batch = Natural(json, "batch")};
  for (const Json& part : Member<Json>(json, "parts")) {
    WithFrame([] { return "'parts'"; }, [&] { data.parts.push_back(ParsePart(part)); });
  }
  if (json.contains("rows")) {
    data.rows = Natural(json, "rows");
  }
  const Json values = Member<Json>(json, "values");
  if (!values.is_object() || values.empty() || data.parts.empty()) {
    Fail(ErrorCode::kInvalidFile, "expected 'parts' and 'values'");
  }
  for (const auto& [name, value] : values.items()) {
    WithFrame([&, &name = name] { return "value '" + name + "'"; },
              [&, &name = name, &value = value] { data.values.emplace(name, ParseValue(value)); });
  }
  return data;
}

CalibrationTable CalibrationTable::Parse(std::string_view text) {
  return CalibrationTable(std::make_shared<const Data>(ParseFinished(text)));
}

std::string ReadTableFile(const std::filesystem::path& path) {
  constexpr std::int64_t kMaxBytes = std::int64_t{256} << 20;  // 700 values of every magnitude there is
  return ReadFile(path, kMaxBytes);
}

CalibrationTable CalibrationTable::Load(const std::filesystem::path& path) {
  return WithFrame([&] { return "file '" + path.string() + "'"; },
                   [&] {
                     auto data = std::make_shared<Data>(ParseFinished(ReadTableFile(path)));
                     data->file = path.string();
                     return CalibrationTable(std::move(data));
                   });
}

std::string CalibrationTable::Print() const { return PrintTable(*data_); }

CalibrationTable CalibrationTable::Merge(const std::vector<CalibrationTable>& tables) {
  if (tables.empty()) {
    Fail(ErrorCode::kInvalidArgument, "no table to merge");
  }
  auto merged = std::make_shared<Data>(tables[0].data());
  merged->file.clear();
  for (std::size_t i = 1; i < tables.size(); ++i) {
    InFileOf(tables[i], [&] { MergeInto(merged.get(), tables[i].data()); });
  }
  JoinShards(&merged->parts);
  return CalibrationTable(std::move(merged));
}

std::int64_t CalibrationTable::num_texts() const noexcept {
  std::int64_t sum = 0;
  for (const Data::Part& part : data_->parts) {
    sum += part.num_texts;
  }
  return sum;
}

std::int64_t CalibrationTable::num_elements() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& [name, value] : data_->values) {
    const auto* statistics = std::get_if<quant::TensorStatistics>(&value);
    sum += statistics == nullptr ? 0 : statistics->count();
  }
  return static_cast<std::int64_t>(sum);
}

std::vector<std::string> CalibrationTable::value_names() const {
  std::vector<std::string> names;
  std::ranges::transform(data_->values, std::back_inserter(names), [](const auto& entry) { return entry.first; });
  return names;
}

std::string MissingShards(const CalibrationTable& table) {
  constexpr int kMaxShown = 8;  // the file says how many there are
  std::map<std::pair<std::string, std::int64_t>, std::set<std::int64_t>> sets;
  for (const Data::Part& part : table.data().parts) {
    sets[{part.data, part.num_shards}].insert(part.shard);
  }
  std::string missing;
  int num_shown = 0;
  for (const auto& [key, shards] : sets) {
    for (std::int64_t shard = 0; shard < key.second; ++shard) {
      if (shards.contains(shard)) {
        continue;
      }
      if (num_shown++ == kMaxShown) {
        return missing + ", ...";
      }
      missing += (missing.empty() ? "" : ", ") + std::to_string(shard) + "/" + std::to_string(key.second);
    }
  }
  return missing;
}

std::string DigestOf(const Graph& graph) {
  const std::string text = PrintGraph(graph);
  return Sha256Hex(std::as_bytes(std::span(text)));
}

std::map<std::string, std::vector<std::string>> ObservedInputs(const Graph& graph, const std::set<std::string>& layers,
                                                               const QConfig& config) {
  std::map<std::string, std::vector<std::string>> inputs;
  for (const Node& node : graph.nodes()) {
    const auto layer = passes::FindLayer(graph, node, layers);
    if (layer && layer->kind == passes::LayerKind::kLinear && config.OfLayer(layer->name).quantize) {
      const std::string& name = graph.value(node.inputs[0]).name;
      std::vector<std::string>& readers = inputs[name];
      readers.push_back(layer->name);
      if (config.OfLayer(readers[0]).activations != config.OfLayer(layer->name).activations) {
        Fail(ErrorCode::kInvalidArgument, "layers '", readers[0], "' and '", layer->name, "' share their input '", name,
             "', so it has one quantizer; expected the same settings for its activations");
      }
    }
  }
  return inputs;
}

void CheckModelOf(const CalibrationTable& table, const Graph& graph) {
  InFileOf(table, [&] {
    if (const std::string digest = DigestOf(graph); table.data().model != digest) {
      Fail(ErrorCode::kInvalidArgument, "the calibration table is of another model: expected ", digest.substr(0, 12),
           ", got ", table.data().model.substr(0, 12));
    }
  });
}

std::map<std::string, quant::QuantParams> RangesFrom(const CalibrationTable& table, const Graph& graph,
                                                     const std::set<std::string>& layers, const QConfig& config) {
  CheckModelOf(table, graph);
  std::map<std::string, quant::QuantParams> ranges;
  for (const auto& [name, readers] : ObservedInputs(graph, layers, config)) {
    ranges[name] = WithFrame([&, &readers = readers] { return "the input of layer '" + readers[0] + "'"; },
                             [&, &name = name, &readers = readers] {
                               return ParamsFrom(table, name, config.OfLayer(readers[0]).activations);
                             });
  }
  return ranges;
}

quant::QuantParams ParamsFrom(const CalibrationTable& table, const std::string& name, const TensorQConfig& config,
                              std::span<const float> inv_smooth) {
  return WithFrame(
      [&] { return "value '" + name + "'"; },
      [&] {
        if (inv_smooth.empty()) {
          return InFileOf(table,
                          [&] { return quant::StaticParams(RangeOfValue(FindObserved(table, name), config), config); });
        }
        const quant::ColumnRange columns = ColumnRangeFrom(table, name, static_cast<std::int64_t>(inv_smooth.size()));
        return quant::StaticParams(quant::SmoothedMinMax(columns.min(), columns.max(), inv_smooth), config);
      });
}

quant::ColumnRange ColumnRangeFrom(const CalibrationTable& table, const std::string& name, std::int64_t width) {
  return WithFrame([&] { return "value '" + name + "'"; },
                   [&] {
                     const ObservedValue& value = InFileOf(
                         table, [&]() -> auto& { return FindObserved(table, name); });
                     const auto* statistics = std::get_if<quant::TensorStatistics>(&value);
                     if (statistics == nullptr) {
                       Fail(ErrorCode::kInvalidArgument,
                            "the table was made with an observer that depends on order, which keeps no extremes of "
                            "columns; expected minmax, percentile, entropy or mse, or smooth_quant off");
                     }
                     if (statistics->width() != width) {
                       Fail(ErrorCode::kInvalidArgument, "expected ", width, " columns, got ", statistics->width());
                     }
                     quant::ColumnRange range(width);
                     range.Add({statistics->column_min().data(), 1, statistics->width()});
                     range.Add({statistics->column_max().data(), 1, statistics->width()});
                     return range;
                   });
}

}  // namespace laconic
