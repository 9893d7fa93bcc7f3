// CSV as RFC 4180 has it. More is taken where no doubt is possible: any line ending, blank lines (skipped), a quote
// inside a field that does not begin with one. What Python's csv module reads so, this reads alike.
#include <set>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "data/record_reader.h"
#include "laconic/error.h"

namespace laconic::data {
namespace {

// Far above any label set; keeps a header of commas from allocating a string for each.
constexpr std::size_t kMaxColumns = std::size_t{1} << 16;

class CsvReader final : public RecordReader {
 public:
  CsvReader(ByteReader in, char delimiter, bool has_quotes)
      : RecordReader(std::move(in)), delimiter_(delimiter), has_quotes_(has_quotes) {}

 protected:
  std::optional<nlohmann::json> ReadObject() override {
    if (columns_.empty()) {
      WithFrame([] { return "the header"; }, [&] { ReadHeader(); });
    }
    auto fields = ReadFields(columns_.size());
    if (fields.empty()) {
      return std::nullopt;
    }
    if (fields.size() != columns_.size()) {
      Fail(ErrorCode::kInvalidFile, "expected ", columns_.size(), " fields, got ", fields.size());
    }
    nlohmann::json object = nlohmann::json::object();
    for (std::size_t i = 0; i < fields.size(); ++i) {
      WithFrame([&] { return "column '" + columns_[i] + "'"; }, [&] { CheckUtf8(fields[i]); });
      object[columns_[i]] = std::move(fields[i]);
    }
    return object;
  }

 private:
  void ReadHeader() {
    columns_ = ReadFields(kMaxColumns);
    std::set<std::string> seen;
    for (const std::string& column : columns_) {
      CheckUtf8(column);
      if (!seen.insert(column).second) {
        Fail(ErrorCode::kInvalidFile, "column '", column, "' is there twice");
      }
    }
  }

  static void CheckUtf8(const std::string& field) {
    const std::size_t at = FindInvalidUtf8(field);
    if (at != std::string::npos) {
      Fail(ErrorCode::kInvalidFile, "invalid UTF-8 at byte ", at);
    }
  }

  // The next line's fields; none at the end of the file.
  std::vector<std::string> ReadFields(std::size_t max_fields) {
    while (in_.Peek() == '\r' || in_.Peek() == '\n') {
      in_.StartRecord();
      in_.Get();
    }
    StartRecord();
    std::vector<std::string> fields;
    if (in_.Peek() == ByteReader::kEnd) {
      return fields;
    }
    bool more = true;
    while (more) {
      if (fields.size() == max_fields) {
        Fail(ErrorCode::kInvalidFile, "more than the expected ", max_fields, " fields");
      }
      more = ReadField(&fields.emplace_back());
    }
    return fields;
  }

  // Reads a field and what ends it. Returns whether another field follows on the line.
  bool ReadField(std::string* field) {
    if (has_quotes_ && in_.Peek() == '"') {
      ReadQuoted(field);
      if (!AtFieldEnd()) {
        Fail(ErrorCode::kInvalidFile, "text after a closing quote (a quote inside a quoted field is written twice",
             delimiter_ == '\t' ? "; where quotes are text, the format is tsv-plain)" : ")");
      }
    } else {
      while (!AtFieldEnd()) {
        field->push_back(static_cast<char>(in_.Get()));
      }
    }
    return in_.Get() == delimiter_;  // the rest of a line's end passes for a blank line
  }

  void ReadQuoted(std::string* field) {
    in_.Get();
    while (true) {
      const int byte = in_.Get();
      if (byte == ByteReader::kEnd) {
        Fail(ErrorCode::kInvalidFile, "a quoted field does not end before the file does",
             delimiter_ == '\t' ? " (where quotes are text, the format is tsv-plain)" : "");
      }
      if (byte == '"') {
        if (in_.Peek() != '"') {
          return;
        }
        in_.Get();
      }
      field->push_back(static_cast<char>(byte));
    }
  }

  bool AtFieldEnd() {
    const int byte = in_.Peek();
    return byte == delimiter_ || byte == '\r' || byte == '\n' || byte == ByteReader::kEnd;
  }

  char delimiter_;
  bool has_quotes_;
  std::vector<std::string> columns_;
};

}  // namespace

std::unique_ptr<RecordReader> MakeCsvReader(ByteReader in, char delimiter, bool has_quotes) {
  return std::make_unique<CsvReader>(std::move(in), delimiter, has_quotes);
}

}  // namespace laconic::data
