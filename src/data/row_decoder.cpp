#include "data/row_decoder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "laconic/error.h"

namespace laconic::data {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 3> kTextColumns = {"text", "sentence", "sentence1"};
constexpr std::array<std::string_view, 2> kSecondTextColumns = {"text_pair", "sentence2"};
constexpr std::array<std::string_view, 3> kLabelColumns = {"label", "labels", "intents"};

// "'a', 'b', ...", cut short where there are many.
template <typename Range>
std::string Quoted(const Range& names) {
  constexpr std::size_t kMaxShown = 20;
  std::string text;
  std::size_t shown = 0;
  for (const auto& name : names) {
    if (shown++ == kMaxShown) {
      return text + ", ...";
    }
    text.append(text.empty() ? "'" : ", '").append(name).append("'");
  }
  return text;
}

std::string ColumnsOf(const json& record) {
  std::vector<std::string> names;
  for (const auto& item : record.items()) {
    names.push_back(item.key());
  }
  return Quoted(names);
}

// The column of the wanted name, or the first there is of `defaults`; end() where there is none.
json::const_iterator FindColumn(const json& record, const std::string& wanted,
                                std::span<const std::string_view> defaults) {
  if (!wanted.empty()) {
    return record.find(wanted);
  }
  for (const std::string_view name : defaults) {
    if (const auto found = record.find(name); found != record.end()) {
      return found;
    }
  }
  return record.end();
}

std::string TakeText(json* record, const std::string& column) {
  json& value = (*record)[column];
  if (!value.is_string()) {
    Fail(ErrorCode::kInvalidFile, "column '", column, "': expected a text, got ", value.type_name());
  }
  return std::move(value.get_ref<std::string&>());
}

}  // namespace

bool IsBlank(const json& value) {
  return value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty());
}

LabelValue FindLabelValue(const json& record, const DatasetOptions& options) {
  const auto found = FindColumn(record, options.label_column, kLabelColumns);
  if (found == record.end() || IsBlank(*found)) {
    return {};
  }
  return {&*found, found.key()};
}

std::optional<double> FindNumber(const json& value) {
  if (value.is_number()) {
    return value.get<double>();
  }
  if (!value.is_string()) {
    return std::nullopt;
  }
  const auto& text = value.get_ref<const std::string&>();
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  const bool is_number = end == text.data() + text.size() && error == std::errc{} && std::isfinite(number);
  return is_number ? std::optional(number) : std::nullopt;
}

std::optional<std::int64_t> FindInteger(const json& value) {
  const std::optional<double> number = FindNumber(value);
  if (!number || *number != std::trunc(*number)) {
    return std::nullopt;
  }
  constexpr double kExact = 1e15;  // a double holds all integers so far
  return static_cast<std::int64_t>(std::clamp(*number, -kExact, kExact));
}

std::optional<bool> FindFlag(const json& value) {
  if (value.is_boolean()) {
    return value.get<bool>();
  }
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text == "true" || text == "True" || text == "TRUE") return true;
    if (text == "false" || text == "False" || text == "FALSE") return false;
  }
  const std::optional<std::int64_t> number = FindInteger(value);
  return number == 0 || number == 1 ? std::optional(number == 1) : std::nullopt;
}

std::string Shown(const json& value) {
  constexpr std::size_t kMaxBytes = 120;
  std::string text = value.dump();
  if (text.size() > kMaxBytes) {
    std::size_t end = kMaxBytes;
    while ((static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) {
      --end;  // not inside a UTF-8 sequence
    }
    text.replace(end, std::string::npos, "...");
  }
  return text;
}

RowDecoder::RowDecoder(DatasetOptions options) : options_(std::move(options)) {
  for (const std::string& label : options_.labels) {
    if (!index_of_.emplace(label, static_cast<std::int64_t>(index_of_.size())).second) {
      Fail(ErrorCode::kInvalidArgument, "two labels are called '", label, "'");
    }
  }
}

DatasetRow RowDecoder::Decode(json* record) {
  DatasetRow row;
  const auto text = FindColumn(*record, options_.text_column, kTextColumns);
  if (text == record->end()) {
    const auto wanted = options_.text_column.empty() ? Quoted(kTextColumns) : Quoted(std::array{options_.text_column});
    Fail(ErrorCode::kInvalidFile, "no text: expected a column ", wanted, ", got ", ColumnsOf(*record));
  }
  const auto second = FindColumn(*record, options_.second_text_column, kSecondTextColumns);
  if (second == text && !options_.second_text_column.empty()) {
    Fail(ErrorCode::kInvalidFile, "column '", text.key(), "' cannot be both texts of a pair");
  }
  const bool has_second = second != record->end() && second != text;
  if (!has_second && !options_.second_text_column.empty()) {
    Fail(ErrorCode::kInvalidFile, "no column '", options_.second_text_column, "', got ", ColumnsOf(*record));
  }
  if (pairs_.value_or(has_second) != has_second) {
    Fail(ErrorCode::kInvalidFile, has_second ? "a second text, which rows before it lack" : "no second text",
         "; every row must be a pair, or none");
  }
  pairs_ = has_second;
  if (options_.read_labels) {
    row.labels = DecodeLabels(*record);
  }
  const std::string& text_column = text.key();
  if (has_second) {
    row.second_text = TakeText(record, second.key());
  }
  row.text = TakeText(record, text_column);
  return row;
}

std::vector<std::int64_t> RowDecoder::DecodeLabels(const json& record) {
  std::vector<std::int64_t> labels;
  if (const LabelValue found = FindLabelValue(record, options_); found.value != nullptr) {
    labels_seen_ = true;
    labels = WithFrame([&] { return "column '" + std::string(found.column) + "'"; },
                       [&] { return DecodeValue(*found.value); });
  } else if (HasFlags(record)) {
    labels_seen_ = true;
    labels = DecodeFlags(record);
  }
  if (options_.problem == ProblemType::kSingleLabel && labels.size() != 1) {
    Fail(ErrorCode::kInvalidFile, "expected one label in ", LabelColumns(), ", got ", labels.size(), "; ",
         ColumnsFound(record));
  }
  if (columns_.empty()) {
    columns_ = ColumnsFound(record);
  }
  return labels;
}

std::vector<std::int64_t> RowDecoder::DecodeValue(const json& value) const {
  if (!value.is_array()) {
    return {DecodeLabel(value)};
  }
  std::vector<std::int64_t> labels;
  for (const json& element : value) {
    labels.push_back(DecodeLabel(element));
  }
  std::sort(labels.begin(), labels.end());
  const auto twice = std::adjacent_find(labels.begin(), labels.end());
  // NLU++ itself repeats a name. A repeated index is rather a list of 0 and 1, and so may be both indices of two
  // labels.
  if (twice != labels.end() && !value.front().is_string()) {
    Fail(ErrorCode::kInvalidFile, "label '", options_.labels[static_cast<std::size_t>(*twice)],
         "' is there twice (a list holds the names or indices of the labels that are on, not 0 and 1)");
  }
  if (labels.size() == 2 && options_.labels.size() == 2 && !value.front().is_string()) {
    Fail(ErrorCode::kInvalidFile, "the list ", Shown(value),
         " can mean both of two labels or one; write names: ", Quoted(options_.labels));
  }
  labels.erase(std::unique(twice, labels.end()), labels.end());
  return labels;
}

std::int64_t RowDecoder::DecodeLabel(const json& value) const {
  if (value.is_string()) {
    if (const auto found = index_of_.find(value.get_ref<const std::string&>()); found != index_of_.end()) {
      return found->second;
    }
  }
  const auto num_labels = static_cast<std::int64_t>(options_.labels.size());
  const std::optional<std::int64_t> index = FindInteger(value);
  if (index && *index >= 0 && *index < num_labels) {
    return *index;
  }
  if (!index && !value.is_string()) {
    Fail(ErrorCode::kInvalidFile, "expected a label's name or index, got ", value.type_name());
  }
  const bool may_be_several =
      value.is_string() && value.get_ref<const std::string&>().find_first_of(",;|[") != std::string::npos;
  Fail(ErrorCode::kInvalidFile, "the model has no label ", Shown(value), "; its ", num_labels, " labels are ",
       Quoted(options_.labels), ", or 0 to ", num_labels - 1,
       may_be_several ? "; several labels of a text need a list in JSON, or a column of 0 and 1 for each" : "");
}

bool RowDecoder::HasFlags(const json& record) const {
  return options_.label_column.empty() && !options_.labels.empty() &&
         std::all_of(options_.labels.begin(), options_.labels.end(),
                     [&](const std::string& label) { return record.contains(label); });
}

std::vector<std::int64_t> RowDecoder::DecodeFlags(const json& record) const {
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < options_.labels.size(); ++i) {
    const json& value = record[options_.labels[i]];
    const std::optional<bool> flag = FindFlag(value);
    if (!flag) {
      Fail(ErrorCode::kInvalidFile, "column '", options_.labels[i], "': expected 0 or 1, got ", Shown(value));
    }
    if (*flag) {
      labels.push_back(static_cast<std::int64_t>(i));
    }
  }
  return labels;
}

std::string RowDecoder::LabelColumns() const {
  return "column " + (options_.label_column.empty() ? Quoted(kLabelColumns) + " or one for each label"
                                                    : Quoted(std::array{options_.label_column}));
}

// "the columns are 'text', 'spam'; none for label 'bully'".
std::string RowDecoder::ColumnsFound(const json& record) const {
  std::vector<std::string> missing;
  std::ranges::copy_if(options_.labels, std::back_inserter(missing),
                       [&](const std::string& label) { return !record.contains(label); });
  const bool has_flags = options_.label_column.empty() && missing.size() < options_.labels.size();
  return "the columns are " + ColumnsOf(record) +
         (has_flags && !missing.empty() ? "; none for label " + Quoted(missing) : "");
}

void RowDecoder::CheckLabelsSeen() const {
  if (options_.read_labels && !labels_seen_) {
    Fail(ErrorCode::kInvalidFile, "no row has labels: expected them in ", LabelColumns(), "; ", columns_);
  }
}

}  // namespace laconic::data
