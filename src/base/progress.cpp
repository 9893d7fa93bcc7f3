#include "base/progress.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <unistd.h>

namespace laconic {
namespace {

class TerminalLine {
 public:
  void Update(std::string_view what, std::int64_t done, std::int64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (what != what_ || done < done_) {
      Clear();
      what_ = what;
      start_ = now;
    }
    done_ = done;
    const double elapsed_s = std::chrono::duration<double>(now - start_).count();
    const bool finished = total > 0 && done >= total;
    if (finished) {
      Clear();
    } else if (elapsed_s >= kQuietSeconds && now - drawn_ >= std::chrono::milliseconds(200)) {
      Draw(total, elapsed_s);
      drawn_ = now;
    }
  }
  ~TerminalLine() { Clear(); }
  TerminalLine() = default;
  TerminalLine(const TerminalLine&) = delete;
  TerminalLine& operator=(const TerminalLine&) = delete;

 private:
  static constexpr double kQuietSeconds = 2.0;

  void Draw(std::int64_t total, double elapsed_s) {
    std::string line = total > 0 ? fmt::format("{}: {}/{}", what_, done_, total) : fmt::format("{}: {}", what_, done_);
    if (total > 0 && done_ > 0) {
      const double left_s = elapsed_s * static_cast<double>(total - done_) / static_cast<double>(done_);
      line += fmt::format(", {:.0f} s left", left_s);
    }
    std::fputs(fmt::format("\r\033[K{}", line).c_str(), stderr);
    std::fflush(stderr);
    visible_ = true;
  }
  void Clear() {
    if (visible_) {
      std::fputs("\r\033[K", stderr);
      std::fflush(stderr);
      visible_ = false;
    }
  }

  std::string what_;
  std::int64_t done_ = 0;
  std::chrono::steady_clock::time_point start_, drawn_;
  bool visible_ = false;
};

}  // namespace

ProgressFn MakeTerminalProgress() {
  if (::isatty(STDERR_FILENO) == 0) {
    return [](std::string_view, std::int64_t, std::int64_t) {};
  }
  auto line = std::make_shared<TerminalLine>();
  return [line](std::string_view what, std::int64_t done, std::int64_t total) { line->Update(what, done, total); };
}

}  // namespace laconic
