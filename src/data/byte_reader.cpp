#include "data/byte_reader.h"

#include <memory>
#include <string_view>
#include <utility>

#include <unistd.h>

#include "base/cancel.h"
#include "base/file.h"
#include "laconic/dataset.h"

namespace laconic::data {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 16;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

ByteReader::ByteReader(ReadFn read) : read_(std::move(read)), buffer_(kBufferBytes) {}

ByteReader ByteReader::Open(const std::filesystem::path& path) {
  if (path == "-") {
    const auto input = std::make_shared<const FileDescriptor>(::dup(STDIN_FILENO));
    return ByteReader([input](std::span<char> out) { return ReadSome(*input, "standard input", out); });
  }
  const auto file = std::make_shared<const RegularFile>(OpenRegularFile(path));
  return ByteReader([path, file](std::span<char> out) { return ReadSome(file->descriptor, path, out); });
}

int ByteReader::Get() {
  const int byte = Peek();
  if (byte == kEnd) {
    return kEnd;
  }
  if (++record_bytes_ > kMaxRecordBytes) {
    Fail(ErrorCode::kInvalidFile, "the record is longer than ", kMaxRecordBytes, " bytes");
  }
  ++next_;
  line_ += byte == '\n' ? 1 : 0;
  return byte;
}

void ByteReader::Refill() {
  ThrowIfCancelled();
  next_ = 0;
  end_ = read_(buffer_);
  if (started_) {
    return;
  }
  started_ = true;
  // A pipe may hand over the mark in pieces.
  while (end_ > 0 && end_ < kByteOrderMark.size()) {
    const std::size_t got = read_(std::span(buffer_).subspan(end_));
    if (got == 0) {
      break;
    }
    end_ += got;
  }
  if (std::string_view(buffer_.data(), end_).starts_with(kByteOrderMark)) {
    next_ = kByteOrderMark.size();
    if (next_ == end_) {
      Refill();
    }
  }
}

}  // namespace laconic::data
