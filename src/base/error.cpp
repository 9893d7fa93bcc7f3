#include "laconic/error.h"

namespace laconic {

std::string_view ToString(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid argument";
    case ErrorCode::kInvalidFile:
      return "invalid file";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kIo:
      return "i/o";
    case ErrorCode::kResource:
      return "out of resources";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "?";
}

Error::Error(ErrorCode code, const std::string& message)
    : std::runtime_error(message), code_(code), full_(internal::Concat(ToString(code), ": ", message)) {}

void Error::AddFrame(std::string_view frame) { full_.append("\n  in ").append(frame); }

}  // namespace laconic
