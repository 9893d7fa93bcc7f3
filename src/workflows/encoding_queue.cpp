#include "workflows/encoding_queue.h"

#include <utility>

namespace laconic {

bool EncodingQueue::Put(Encoding encoding) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return !IsFull() || stopped_; });
  if (stopped_) {
    return false;
  }
  num_tokens_ += encoding.ids.size();
  texts_.push_back(std::move(encoding));
  if (texts_.size() == 1 || IsReady()) {
    ready_.notify_one();
  }
  return true;
}

void EncodingQueue::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  ready_.notify_one();
}

std::vector<Encoding> EncodingQueue::TakeAll() {
  std::unique_lock lock(mutex_);
  ready_.wait(lock, [&] { return !texts_.empty() || closed_; });
  ready_.wait_for(lock, kPatience, [&] { return IsReady(); });
  num_tokens_ = 0;
  room_.notify_one();
  return std::exchange(texts_, {});
}

void EncodingQueue::Stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  room_.notify_one();
}

}  // namespace laconic
