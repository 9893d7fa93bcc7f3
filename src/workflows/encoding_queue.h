// Hands texts from the thread that tokenizes them to the one that runs the model, at bounded memory.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "laconic/tokenizer.h"

namespace laconic {

// One thread puts, one takes.
class EncodingQueue {
 public:
  explicit EncodingQueue(std::int64_t batch) : batch_(std::min(static_cast<std::size_t>(batch), kMaxTokens)) {}

  // Waits while the queue is full. False: the taker has stopped.
  bool Put(Encoding encoding);
  // No more will be put.
  void Close();

  // All texts there are, in their order, as soon as they make a batch, or kPatience after the first (none: no more
  // come).
  std::vector<Encoding> TakeAll();
  // No more will be taken.
  void Stop();

 private:
  // Far more than a batch takes to read, and less than a person notices who types texts one by one.
  static constexpr std::chrono::milliseconds kPatience{50};
  // Far enough ahead that texts of like length can be grouped; long texts fill the queue sooner.
  static constexpr std::size_t kMaxBatches = 16;
  static constexpr std::size_t kMaxTokens = std::size_t{1} << 20;
  bool IsFull() const { return texts_.size() >= kMaxBatches * batch_ || num_tokens_ >= kMaxTokens; }
  bool IsReady() const { return texts_.size() >= batch_ || IsFull() || closed_; }

  std::size_t batch_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable ready_;
  std::vector<Encoding> texts_;
  std::size_t num_tokens_ = 0;
  bool closed_ = false;
  bool stopped_ = false;
};

}  // namespace laconic
