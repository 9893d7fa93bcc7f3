// Shares the texts of a batch out to be run in groups, each by one thread alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/plan.h"

namespace laconic::runtime {

// Rows that a thread takes at a time: enough to reuse a weight panel from the L1 cache, few enough that the widest
// intermediate of a base-size model (128 x 3072 f32) stays in L2.
inline constexpr std::int64_t kChunkRows = 128;
// With fewer rows a thread, cutting each layer by columns reads every weight once instead of once a thread.
inline constexpr std::int64_t kMinRowsPerThread = 32;

// A group goes through all steps in a row: what one step leaves is still in L2 for the next, attention included, and no
// thread waits for another before the batch is done.
class TextGroups {
 public:
  // Groups of kChunkRows tokens or somewhat more, as many as threads or a multiple. None if there is too little for
  // each thread, or the threads would end too far apart: then they had better share the steps. Allocates nothing for
  // batches no larger than one before.
  void Split(const Inputs& inputs, int num_threads);

  std::int64_t size() const noexcept { return static_cast<std::int64_t>(starts_.size()) - 1; }
  // The texts of a group, by their places in the batch.
  std::span<const std::int64_t> operator[](std::int64_t group) const {
    const auto i = static_cast<std::size_t>(group);
    return std::span(texts_).subspan(starts_[i], starts_[i + 1] - starts_[i]);
  }
  // The most that a group has.
  std::int64_t max_tokens() const noexcept { return max_tokens_; }
  std::int64_t max_texts() const noexcept { return max_texts_; }

 private:
  struct Load {
    std::int64_t tokens;
    std::int64_t group;
  };

  std::vector<Load> loads_;  // a heap: the group of the fewest tokens first
  std::vector<std::int64_t> longest_first_;
  std::vector<std::int64_t> group_;        // of each text
  std::vector<std::int64_t> texts_;        // group by group
  std::vector<std::size_t> starts_ = {0};  // in texts_, of each group; and the end
  std::int64_t max_tokens_ = 0;
  std::int64_t max_texts_ = 0;
};

}  // namespace laconic::runtime
