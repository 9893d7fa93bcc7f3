// Labelled and unlabelled texts from CSV, TSV and JSON files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "laconic/problem_type.h"

namespace laconic {

enum class DataFormat : std::uint8_t {
  kCsv,       // RFC 4180 with a header row; any line ending; blank lines are skipped
  kTsv,       // the same, with tabs for commas
  kTsvPlain,  // the same without quoting, as GLUE's: a quote is text, and no field holds a tab or a line's end
  kJson,      // one object a line, or one array of objects
};

// "csv", "tsv", "tsv-plain", "json" (or "jsonl"). Errors: kInvalidArgument listing these.
DataFormat ParseDataFormat(std::string_view name);

// A record longer than this, in bytes of the file, is refused: what one line of a hostile file may make us allocate.
// Enough for a text of 10 MB in JSON that escapes every Bangla letter (twice the size).
inline constexpr std::int64_t kMaxRecordBytes = std::int64_t{32} << 20;

// How columns (JSON: keys) are read.
//
// Text:   `text_column`, else the first there is of `text`, `sentence`, `sentence1`. Pairs: `second_text_column`, else
//         `text_pair`, else `sentence2`, but not the text's own column; every row has a second text or none has.
// Labels: `label_column`, else the first there is of `label`, `labels`, `intents`, holding
//           - one label: a name, or its index as an integer (a text that is both is the name), or
//           - JSON only, a list of such labels, no index twice, and not both indices of two labels, since [0, 1] and
//             [1, 0] may be flags;
//         else, where the row has a column for every one of `labels`, 0 or 1 (or false or true) in each of these.
//         Integers may be written as pandas does: 1.0.
//         A row without a label, with an empty one or with null has no label on (NLU++ omits `intents` then): right for
//         kMultiLabel only.
struct DatasetOptions {
  std::optional<DataFormat> format = {};  // default: by extension (.csv .tsv .json .jsonl .ndjson)
  std::string text_column = {};
  std::string second_text_column = {};
  std::string label_column = {};
  bool read_labels = true;  // false: label columns are not looked at
  ProblemType problem = ProblemType::kSingleLabel;
  std::vector<std::string> labels = {};  // the model's names in the order of its logits
};

struct DatasetRow {
  std::string text;
  std::optional<std::string> second_text;
  std::vector<std::int64_t> labels;  // indices of the labels that are on, ascending; one for kSingleLabel
};

// The next row, or nothing after the last.
using NextRowFn = std::function<std::optional<DatasetRow>()>;

// Reads files one after another, a row at a time, at bounded memory.
class DatasetReader {
 public:
  // `paths`: regular files, or "-" for standard input (which needs `options.format`).
  // Errors: kNotFound, kIo; kInvalidArgument for no path, an extension that says no format, a directory, FIFO or
  // device, two labels of one name.
  DatasetReader(std::vector<std::filesystem::path> paths, DatasetOptions options);
  ~DatasetReader();
  DatasetReader(DatasetReader&&) noexcept;
  DatasetReader& operator=(DatasetReader&&) noexcept;

  // The next row, or nothing after the last.
  // Errors: kInvalidFile, naming file, row (from 1, the header not counted), line and column: malformed records,
  // invalid UTF-8, a missing text, a label that is not one of `labels`, a number of labels that `problem` excludes;
  // at the end, that there was no row, or that labels were wanted and no row had any. kIo; kCancelled.
  std::optional<DatasetRow> Next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Of all rows of the files `wanted`, spread evenly: of n rows those numbered floor(k n / wanted), k = 0, 1, ... A file
// may be sorted, and its first rows be unlike the rest. To count rows, files are read once before; standard input
// cannot be, and gives its first. 0 wanted, or no less than there are: all.
class EvenRowReader {
 public:
  // Errors: those of DatasetReader, of reading to the end too.
  EvenRowReader(std::vector<std::filesystem::path> paths, const DatasetOptions& options, std::int64_t wanted);
  std::optional<DatasetRow> Next();
  std::int64_t num_rows() const noexcept { return num_rows_; }  // of the files; 0 where they were not counted

 private:
  DatasetReader reader_;
  std::int64_t left_ = 0;
  std::int64_t num_rows_ = 0;
  std::int64_t step_ = 1;  // a row is taken where the sum of steps passes a multiple of `span_`
  std::int64_t span_ = 1;
  std::int64_t sum_ = 0;
};

struct Dataset {
  std::vector<std::string> texts;
  std::vector<std::string> second_texts;  // as many as `texts`, or none
  std::int64_t num_labels = 0;
  std::vector<std::uint8_t> targets;  // [texts, num_labels], 1 where a label is on; empty without read_labels
};

// All rows. Errors: those of DatasetReader.
Dataset ReadDataset(const std::vector<std::filesystem::path>& paths, const DatasetOptions& options);

struct LabelSet {
  std::vector<std::string> names;                   // sorted by bytes; LABEL_0 ... where the files hold integers
  ProblemType problem = ProblemType::kSingleLabel;  // kMultiLabel if any row has a list, or labels are columns
};

// The labels of a classifier that is yet to be made: all that a label column of the files holds; without such a column
// (and no `options.label_column`), the columns that hold 0 or 1 in every row. `options.labels` and `options.problem`
// are ignored. Errors: those of DatasetReader; kInvalidFile where names and integers are mixed, or for a column of 0
// and 1 with gaps, or with a few cells that are no numbers: it is a label that would be lost. With other numbers it is
// none.
LabelSet ReadLabels(const std::vector<std::filesystem::path>& paths, const DatasetOptions& options);

// Groups the indices 0 ... lengths.size() - 1 into batches of `batch_size` (the last may be smaller) by ascending
// length, equal lengths in their order: texts of like length run together, and the grouping depends on nothing else.
// Errors: kInvalidArgument for a batch_size below 1.
std::vector<std::vector<std::int64_t>> BatchByLength(std::span<const std::int64_t> lengths, std::int64_t batch_size);

}  // namespace laconic
