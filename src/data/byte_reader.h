// The bytes of a file or of standard input, one at a time, at bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

namespace laconic::data {

class ByteReader {
 public:
  // Fills the front of the span and says how many bytes it filled; 0 is the end.
  using ReadFn = std::function<std::size_t(std::span<char>)>;

  static constexpr int kEnd = -1;

  explicit ByteReader(ReadFn read);

  // A regular file, or standard input for "-". Errors: those of OpenRegularFile; kIo while reading.
  static ByteReader Open(const std::filesystem::path& path);

  // The next byte in [0, 255], or kEnd; Get() also moves past it. A byte order mark at the beginning is skipped.
  // Errors: kInvalidFile once Get() is more than kMaxRecordBytes past the last StartRecord(); kCancelled.
  int Peek() {
    if (next_ == end_) {
      Refill();
    }
    return next_ == end_ ? kEnd : static_cast<unsigned char>(buffer_[next_]);
  }
  int Get();

  void StartRecord() noexcept { record_bytes_ = 0; }
  std::int64_t line() const noexcept { return line_; }  // of the next byte, from 1

 private:
  void Refill();

  ReadFn read_;
  std::vector<char> buffer_;
  std::size_t next_ = 0;
  std::size_t end_ = 0;
  bool started_ = false;
  std::int64_t line_ = 1;
  std::int64_t record_bytes_ = 0;
};

}  // namespace laconic::data
