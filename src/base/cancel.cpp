#include "base/cancel.h"

#include <atomic>

#include "laconic/error.h"

namespace laconic {
namespace {
std::atomic<bool> cancel_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // or it would not be safe in a signal handler
}  // namespace

bool RequestCancel() noexcept { return cancel_requested.exchange(true, std::memory_order_relaxed); }

void ThrowIfCancelled() {
  if (cancel_requested.load(std::memory_order_relaxed)) {
    Fail(ErrorCode::kCancelled, "interrupted");
  }
}

}  // namespace laconic
