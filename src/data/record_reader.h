// Records of a data file, one at a time, as JSON objects: column -> value. In CSV every value is a string.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "data/byte_reader.h"
#include "laconic/dataset.h"

namespace laconic::data {

// For messages: "file 'a.csv' and the files after it".
inline std::string FilesOf(const std::vector<std::filesystem::path>& paths) {
  return "file '" + paths.front().string() + (paths.size() > 1 ? "' and the files after it" : "'");
}

class RecordReader {
 public:
  explicit RecordReader(ByteReader in) : in_(std::move(in)) {}
  virtual ~RecordReader() = default;
  RecordReader(const RecordReader&) = delete;
  RecordReader& operator=(const RecordReader&) = delete;

  // The next record, valid UTF-8 throughout, or nothing at the end. Errors: kInvalidFile; those of ByteReader.
  std::optional<nlohmann::json> Next() {
    ++row_;
    return ReadObject();
  }

  // Where the record last read, or the error last thrown, lies: "row 3 (line 4)".
  std::string Position() const { return "row " + std::to_string(row_) + " (line " + std::to_string(line_) + ")"; }

 protected:
  virtual std::optional<nlohmann::json> ReadObject() = 0;

  void StartRecord() {
    in_.StartRecord();
    line_ = in_.line();
  }

  ByteReader in_;

 private:
  std::int64_t row_ = 0;
  std::int64_t line_ = 1;
};

std::unique_ptr<RecordReader> MakeCsvReader(ByteReader in, char delimiter, bool has_quotes = true);
std::unique_ptr<RecordReader> MakeJsonReader(ByteReader in);
std::unique_ptr<RecordReader> MakeRecordReader(ByteReader in, DataFormat format);

}  // namespace laconic::data
