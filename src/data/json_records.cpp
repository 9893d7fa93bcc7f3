// Objects of a JSON array or of JSON lines. An array is split into its elements here, without parsing, so that a file
// of any length needs the memory of one element.
#include <utility>

#include "base/json.h"
#include "data/record_reader.h"
#include "laconic/error.h"

namespace laconic::data {
namespace {

bool IsSpace(int byte) { return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; }

class JsonReader final : public RecordReader {
 public:
  using RecordReader::RecordReader;

 protected:
  std::optional<nlohmann::json> ReadObject() override {
    SkipSpace();
    if (state_ == State::kStart) {
      state_ = State::kLines;
      if (in_.Peek() == '[') {
        in_.Get();
        state_ = State::kArrayStart;
        SkipSpace();
      }
    }
    StartRecord();
    const std::optional<std::string> text = state_ == State::kLines ? ReadLine() : ReadElement();
    if (!text) {
      return std::nullopt;
    }
    nlohmann::json value = ParseJson(*text);
    if (!value.is_object()) {
      Fail(ErrorCode::kInvalidFile, "expected a JSON object, got ", value.type_name());
    }
    return value;
  }

 private:
  enum class State : std::uint8_t { kStart, kLines, kArrayStart, kArray, kEnd };

  void SkipSpace() {
    while (IsSpace(in_.Peek())) {
      in_.StartRecord();
      in_.Get();
    }
  }

  std::optional<std::string> ReadLine() {
    if (in_.Peek() == ByteReader::kEnd) {
      return std::nullopt;
    }
    std::string text;
    while (in_.Peek() != ByteReader::kEnd && in_.Peek() != '\n') {
      text.push_back(static_cast<char>(in_.Get()));
    }
    return text;
  }

  // The next element's text; nothing after the last.
  std::optional<std::string> ReadElement() {
    if (state_ == State::kEnd) {
      return std::nullopt;
    }
    const bool empty = state_ == State::kArrayStart && in_.Peek() == ']';
    state_ = State::kArray;
    std::string text = empty ? "" : ScanElement();
    const int end = in_.Get();
    if (end == ByteReader::kEnd) {
      Fail(ErrorCode::kInvalidFile, "the JSON array does not end before the file does");
    }
    if (end == ']') {
      state_ = State::kEnd;
      SkipSpace();
      if (in_.Peek() != ByteReader::kEnd) {
        Fail(ErrorCode::kInvalidFile, "text after the JSON array");
      }
    }
    return empty ? std::nullopt : std::optional(std::move(text));
  }

  // Up to the comma or bracket that ends the element, or the end of the file.
  std::string ScanElement() {
    std::string text;
    std::int64_t depth = 0;
    bool in_string = false;
    bool escaped = false;
    while (true) {
      const int byte = in_.Peek();
      const bool at_end = !in_string && depth <= 0 && (byte == ',' || byte == ']');
      if (at_end || byte == ByteReader::kEnd) {
        return text;
      }
      text.push_back(static_cast<char>(in_.Get()));
      if (in_string) {
        in_string = escaped || byte != '"';
        escaped = !escaped && byte == '\\';
      } else if (byte == '"') {
        in_string = true;
      } else if (byte == '[' || byte == '{') {
        ++depth;
      } else if (byte == ']' || byte == '}') {
        --depth;
      }
    }
  }

  State state_ = State::kStart;
};

}  // namespace

std::unique_ptr<RecordReader> MakeJsonReader(ByteReader in) { return std::make_unique<JsonReader>(std::move(in)); }

std::unique_ptr<RecordReader> MakeRecordReader(ByteReader in, DataFormat format) {
  if (format == DataFormat::kJson) {
    return MakeJsonReader(std::move(in));
  }
  return MakeCsvReader(std::move(in), format == DataFormat::kCsv ? ',' : '\t', format != DataFormat::kTsvPlain);
}

}  // namespace laconic::data
