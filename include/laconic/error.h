// How everything in Laconic fails: one exception type, with a code and where it happened.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace laconic {

// What the caller can do about it, not where it happened.
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  // the caller passed something wrong
  kInvalidFile,      // a file or stream is malformed; it may be hostile
  kNotFound,         // a named file, tensor, op or option does not exist
  kUnsupported,      // valid, but not implemented for this op, dtype or device
  kIo,               // the system refused a read or write
  kResource,         // out of memory, device memory or threads
  kCancelled,        // the user asked to stop
  kInternal,         // a bug in this project
};

std::string_view ToString(ErrorCode code) noexcept;

// The one exception type this project throws. The message says what was expected and what was met; frames added on
// the way up say in which file, tensor or node.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message);

  ErrorCode code() const noexcept { return code_; }
  // The message, then a line for each frame, innermost first, e.g. "in file 'model.safetensors'".
  const char* what() const noexcept override { return full_.c_str(); }

  void AddFrame(std::string_view frame);

 private:
  ErrorCode code_;
  std::string full_;
};

namespace internal {
template <typename... Args>
std::string Concat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return std::move(out).str();
}
}  // namespace internal

// Throws `Error(code, <args concatenated>)`.
template <typename... Args>
[[noreturn]] void Fail(ErrorCode code, const Args&... args) {
  throw Error(code, internal::Concat(args...));
}

// Runs `body`; an Error that leaves it gains `frame()`. `frame` is called only on failure.
template <typename Frame, typename Body>
decltype(auto) WithFrame(Frame&& frame, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (Error& error) {
    error.AddFrame(std::forward<Frame>(frame)());
    throw;
  }
}

}  // namespace laconic
