// What a record's columns mean: its texts and labels, as DatasetOptions says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include <nlohmann/json_fwd.hpp>

#include "laconic/dataset.h"

namespace laconic::data {

bool IsBlank(const nlohmann::json& value);  // null or ""

// The value of the label column, and the column's name; null where there is none, or it is blank.
struct LabelValue {
  const nlohmann::json* value = nullptr;
  std::string_view column;
};
LabelValue FindLabelValue(const nlohmann::json& record, const DatasetOptions& options);

// The finite number that a value is or spells, without an exponent.
std::optional<double> FindNumber(const nlohmann::json& value);

// The integer that a value is or spells, 1.0 too, as pandas writes a column with gaps. Saturates at 10^15; no label has
// an index near that.
std::optional<std::int64_t> FindInteger(const nlohmann::json& value);

// Whether a flag is on: 0 or 1, in whatever FindInteger takes, or a boolean, spelt as JSON, Python or R do.
std::optional<bool> FindFlag(const nlohmann::json& value);

// The value as JSON, cut short, for messages. Precondition: valid UTF-8.
std::string Shown(const nlohmann::json& value);

class RowDecoder {
 public:
  // Errors: kInvalidArgument for two labels of one name.
  explicit RowDecoder(DatasetOptions options);

  // Takes what it needs out of `record`, a JSON object. Errors: kInvalidFile; see DatasetReader::Next.
  DatasetRow Decode(nlohmann::json* record);

  // Errors: kInvalidFile if labels are wanted and no row so far had any.
  void CheckLabelsSeen() const;

 private:
  std::vector<std::int64_t> DecodeLabels(const nlohmann::json& record);
  std::vector<std::int64_t> DecodeValue(const nlohmann::json& value) const;
  std::int64_t DecodeLabel(const nlohmann::json& value) const;
  bool HasFlags(const nlohmann::json& record) const;
  std::vector<std::int64_t> DecodeFlags(const nlohmann::json& record) const;
  std::string LabelColumns() const;
  std::string ColumnsFound(const nlohmann::json& record) const;

  DatasetOptions options_;
  std::unordered_map<std::string, std::int64_t> index_of_;
  std::optional<bool> pairs_;
  bool labels_seen_ = false;
  std::string columns_;  // of the first row, for CheckLabelsSeen
};

}  // namespace laconic::data
