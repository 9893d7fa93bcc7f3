#include "laconic/dataset.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "data/record_reader.h"
#include "data/row_decoder.h"
#include "laconic/error.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;

DataFormat FormatOf(const fs::path& path, const std::optional<DataFormat>& wanted) {
  if (wanted) {
    return *wanted;
  }
  if (path == "-") {
    Fail(ErrorCode::kInvalidArgument, "the format of standard input must be given: csv, tsv, tsv-plain or json");
  }
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (extension == ".csv") return DataFormat::kCsv;
  if (extension == ".tsv") return DataFormat::kTsv;
  if (extension == ".json" || extension == ".jsonl" || extension == ".ndjson") return DataFormat::kJson;
  Fail(ErrorCode::kInvalidArgument, "the extension of '", path.string(),
       "' does not say its format: expected .csv, .tsv, .json, .jsonl or .ndjson, or the format given");
}

// The records of all files, with errors that say where.
class RecordStream {
 public:
  RecordStream(std::vector<fs::path> paths, const std::optional<DataFormat>& format) : paths_(std::move(paths)) {
    if (paths_.empty()) {
      Fail(ErrorCode::kInvalidArgument, "no data file given");
    }
    for (const fs::path& path : paths_) {
      if (path != "-") {
        OpenRegularFile(path);  // a name that is wrong is told before hours of work on the files ahead of it
      }
      formats_.push_back(FormatOf(path, format));
    }
  }

  // Calls `decode` on the next record. Returns false, without a call, after the last. Errors: kInvalidFile if there was
  // none at all; those of the readers and of `decode`.
  bool Next(const std::function<void(nlohmann::json*)>& decode) {
    for (; file_ < paths_.size(); ++file_, reader_.reset()) {
      if (WithFrame([&] { return "file '" + paths_[file_].string() + "'"; }, [&] { return NextInFile(decode); })) {
        any_ = true;
        return true;
      }
    }
    if (!any_) {
      Fail(ErrorCode::kInvalidFile, "no rows in ", Files());
    }
    return false;
  }

  std::string Files() const { return data::FilesOf(paths_); }

  // Where the record last read lies: "row 3 (line 4) of file 'a.csv'".
  std::string Position() const { return reader_->Position() + " of file '" + paths_[file_].string() + "'"; }

 private:
  bool NextInFile(const std::function<void(nlohmann::json*)>& decode) {
    if (reader_ == nullptr) {
      reader_ = data::MakeRecordReader(data::ByteReader::Open(paths_[file_]), formats_[file_]);
    }
    return WithFrame([&] { return reader_->Position(); },
                     [&] {
                       std::optional<nlohmann::json> record = reader_->Next();
                       if (record) {
                         decode(&*record);
                       }
                       return record.has_value();
                     });
  }

  std::vector<fs::path> paths_;
  std::vector<DataFormat> formats_;
  std::size_t file_ = 0;
  std::unique_ptr<data::RecordReader> reader_;
  bool any_ = false;
};

// Collects the labels of an unknown label set.
class LabelCollector {
 public:
  // `position`: of the record, called where it is to be kept for a message.
  void AddRow(const nlohmann::json& record, const DatasetOptions& options,
              const std::function<std::string()>& position) {
    AddFlags(record, position);
    const data::LabelValue found = data::FindLabelValue(record, options);
    if (found.value == nullptr) {
      return;
    }
    if (!found.value->is_array()) {
      Add(*found.value);
      return;
    }
    any_list_ = true;
    for (const nlohmann::json& value : *found.value) {
      Add(value);
    }
  }

  LabelSet Finish(const DatasetOptions& options) const {
    LabelSet labels{{names_.begin(), names_.end()}, any_list_ ? ProblemType::kMultiLabel : ProblemType::kSingleLabel};
    for (std::int64_t i = 0; i < num_indices_; ++i) {
      labels.names.push_back("LABEL_" + std::to_string(i));
    }
    if (labels.names.empty() && options.label_column.empty()) {
      labels = {FlagColumns(), ProblemType::kMultiLabel};
    }
    return labels;
  }

 private:
  static constexpr std::int64_t kMaxLabels = 65536;  // an index may not make us allocate what it pleases

  void Add(const nlohmann::json& value) {
    const std::optional<std::int64_t> index = data::FindInteger(value);
    if (index) {
      if (*index < 0 || *index >= kMaxLabels) {
        Fail(ErrorCode::kInvalidFile, "expected a label index from 0 to ", kMaxLabels - 1, ", got ",
             data::Shown(value));
      }
      num_indices_ = std::max(num_indices_, *index + 1);
    } else if (value.is_string()) {
      names_.insert(value.get<std::string>());
    } else {
      Fail(ErrorCode::kInvalidFile, "expected a label's name or index, got ", value.type_name());
    }
    if (num_indices_ > 0 && !names_.empty()) {
      Fail(ErrorCode::kInvalidFile, "labels are names in some places and integers in others; met ", data::Shown(value));
    }
  }

  // What a column holds that may be a label's.
  struct Column {
    std::int64_t num_cells = 0;
    std::int64_t num_flags = 0;
    std::int64_t num_blank = 0;
    bool has_number = false;  // other than 0 and 1: an id, a count, a grade
    std::string odd;          // the first cell that is no flag, and where it is
  };

  void AddFlags(const nlohmann::json& record, const std::function<std::string()>& position) {
    for (const auto& item : record.items()) {
      if (columns_.size() == kMaxLabels && !columns_.contains(item.key())) {
        continue;  // a file may have new names in each row
      }
      const nlohmann::json& value = item.value();
      const auto [found, is_new] = columns_.try_emplace(item.key());
      Column& column = found->second;
      if (is_new && num_rows_ > 0) {
        column.odd = "nothing in the rows before " + position();
      }
      ++column.num_cells;
      if (data::FindFlag(value)) {
        ++column.num_flags;
        continue;
      }
      column.num_blank += data::IsBlank(value) ? 1 : 0;
      column.has_number = column.has_number || data::FindNumber(value);
      if (column.odd.empty()) {
        column.odd = data::Shown(value) + " in " + position();
      }
    }
    ++num_rows_;
  }

  // A column of flags is a label. One that was meant to be is not dropped for a cell: flags with gaps, or mostly flags.
  std::vector<std::string> FlagColumns() const {
    std::vector<std::string> names;
    for (const auto& [name, column] : columns_) {
      if (column.num_flags == 0 || column.has_number) {
        continue;
      }
      const std::int64_t num_missing = num_rows_ - column.num_cells;
      if (column.num_flags == num_rows_) {
        names.push_back(name);
      } else if (column.num_flags + column.num_blank + num_missing == num_rows_ || 2 * column.num_flags > num_rows_) {
        Fail(ErrorCode::kInvalidFile, "column '", name, "': expected 0 or 1, as in ", column.num_flags, " of ",
             num_rows_, " rows, got ",
             column.odd.empty() ? "nothing in " + std::to_string(num_missing) + " rows" : column.odd,
             "; fill it in, or remove the column if it is no label");
      }
    }
    return names;
  }

  std::set<std::string> names_;
  std::int64_t num_indices_ = 0;
  bool any_list_ = false;
  std::int64_t num_rows_ = 0;
  std::map<std::string, Column> columns_;
};

}  // namespace

DataFormat ParseDataFormat(std::string_view name) {
  if (name == "csv") return DataFormat::kCsv;
  if (name == "tsv") return DataFormat::kTsv;
  if (name == "tsv-plain") return DataFormat::kTsvPlain;
  if (name == "json" || name == "jsonl") return DataFormat::kJson;
  Fail(ErrorCode::kInvalidArgument, "unknown data format '", name, "'; expected csv, tsv, tsv-plain, json or jsonl");
}

struct DatasetReader::Impl {
  RecordStream records;
  data::RowDecoder decoder;
};

DatasetReader::DatasetReader(std::vector<fs::path> paths, DatasetOptions options)
    : impl_(std::make_unique<Impl>(
          Impl{RecordStream(std::move(paths), options.format), data::RowDecoder(std::move(options))})) {}
DatasetReader::~DatasetReader() = default;
DatasetReader::DatasetReader(DatasetReader&&) noexcept = default;
DatasetReader& DatasetReader::operator=(DatasetReader&&) noexcept = default;

std::optional<DatasetRow> DatasetReader::Next() {
  DatasetRow row;
  if (impl_->records.Next([&](nlohmann::json* record) { row = impl_->decoder.Decode(record); })) {
    return row;
  }
  WithFrame([&] { return impl_->records.Files(); }, [&] { impl_->decoder.CheckLabelsSeen(); });
  return std::nullopt;
}

EvenRowReader::EvenRowReader(std::vector<fs::path> paths, const DatasetOptions& options, std::int64_t wanted)
    : reader_(paths, options), left_(wanted == 0 ? std::numeric_limits<std::int64_t>::max() : wanted) {
  if (wanted == 0 || std::ranges::find(paths, "-") != paths.end()) {
    return;
  }
  for (DatasetReader counted(std::move(paths), options); counted.Next();) {
    ++num_rows_;
  }
  step_ = std::min(wanted, num_rows_);
  span_ = num_rows_;
  sum_ = span_ - 1;  // the first row is taken
}

std::optional<DatasetRow> EvenRowReader::Next() {
  while (left_ > 0) {
    std::optional<DatasetRow> row = reader_.Next();
    sum_ += step_;
    if (!row || sum_ >= span_) {
      sum_ -= span_;
      --left_;
      return row;
    }
  }
  return std::nullopt;
}

Dataset ReadDataset(const std::vector<fs::path>& paths, const DatasetOptions& options) {
  DatasetReader reader(paths, options);
  Dataset dataset;
  dataset.num_labels = static_cast<std::int64_t>(options.labels.size());
  while (auto row = reader.Next()) {
    dataset.texts.push_back(std::move(row->text));
    if (row->second_text) {
      dataset.second_texts.push_back(std::move(*row->second_text));
    }
    if (options.read_labels) {
      const std::size_t begin = dataset.targets.size();
      dataset.targets.resize(begin + options.labels.size());
      for (const std::int64_t label : row->labels) {
        dataset.targets[begin + static_cast<std::size_t>(label)] = 1;
      }
    }
  }
  return dataset;
}

LabelSet ReadLabels(const std::vector<fs::path>& paths, const DatasetOptions& options) {
  RecordStream records(paths, options.format);
  LabelCollector collector;
  while (records.Next(
      [&](nlohmann::json* record) { collector.AddRow(*record, options, [&] { return records.Position(); }); })) {
  }
  LabelSet labels = collector.Finish(options);
  if (labels.names.empty()) {
    const std::string where = options.label_column.empty() ? "a label column or one column of 0 and 1 for each"
                                                           : "column '" + options.label_column + "'";
    Fail(ErrorCode::kInvalidFile, "no row of ", records.Files(), " has labels, in ", where);
  }
  return labels;
}

std::vector<std::vector<std::int64_t>> BatchByLength(std::span<const std::int64_t> lengths, std::int64_t batch_size) {
  if (batch_size < 1) {
    Fail(ErrorCode::kInvalidArgument, "expected a batch size of at least 1, got ", batch_size);
  }
  std::vector<std::int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return lengths[static_cast<std::size_t>(a)] < lengths[static_cast<std::size_t>(b)];
  });
  std::vector<std::vector<std::int64_t>> batches;
  const auto size = static_cast<std::int64_t>(order.size());
  for (std::int64_t begin = 0; begin < size; begin += batch_size) {
    batches.emplace_back(order.begin() + begin, order.begin() + std::min(begin + batch_size, size));
  }
  return batches;
}

}  // namespace laconic
