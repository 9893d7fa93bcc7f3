#include "runtime/text_groups.h"

#include <algorithm>
#include <numeric>

namespace laconic::runtime {

// The longest text first, each to the group that has the fewest tokens so far (LPT: Graham, 1969).
void TextGroups::Split(const Inputs& inputs, int num_threads) {
  constexpr double kLargestLoss = 1.04;  // of time, by threads that have nothing left to do
  starts_.assign(1, 0);
  const std::int64_t rounds = std::max<std::int64_t>(1, inputs.num_tokens() / (kChunkRows * num_threads));
  const std::int64_t num_groups = rounds * num_threads;
  const bool is_little = num_threads > 1 && inputs.num_tokens() < kMinRowsPerThread * num_threads;
  if (is_little || inputs.num_texts() < num_groups) {
    return;
  }
  const auto length = [&](std::int64_t text) {
    const auto i = static_cast<std::size_t>(text);
    return inputs.starts[i + 1] - inputs.starts[i];
  };
  longest_first_.resize(static_cast<std::size_t>(inputs.num_texts()));
  std::iota(longest_first_.begin(), longest_first_.end(), 0);
  std::ranges::sort(longest_first_, [&](std::int64_t a, std::int64_t b) {
    return length(a) != length(b) ? length(a) > length(b) : a < b;
  });
  loads_.clear();
  for (std::int64_t group = 0; group < num_groups; ++group) {
    loads_.push_back({0, group});
  }
  const auto is_after = [](const Load& a, const Load& b) {
    return a.tokens != b.tokens ? a.tokens > b.tokens : a.group > b.group;
  };
  group_.resize(longest_first_.size());
  for (const std::int64_t text : longest_first_) {
    std::ranges::pop_heap(loads_, is_after);
    loads_.back().tokens += length(text);
    group_[static_cast<std::size_t>(text)] = loads_.back().group;
    std::ranges::push_heap(loads_, is_after);
  }
  max_tokens_ = std::ranges::max(loads_, {}, &Load::tokens).tokens;
  const double even = static_cast<double>(inputs.num_tokens()) / static_cast<double>(num_groups);
  if (num_threads > 1 && static_cast<double>(max_tokens_) > kLargestLoss * even) {
    return;
  }
  texts_ = longest_first_;
  std::ranges::sort(texts_, [&](std::int64_t a, std::int64_t b) {
    const std::int64_t group_a = group_[static_cast<std::size_t>(a)];
    const std::int64_t group_b = group_[static_cast<std::size_t>(b)];
    return group_a != group_b ? group_a < group_b : a < b;
  });
  max_texts_ = 0;
  for (std::size_t i = 1; i <= texts_.size(); ++i) {
    if (i == texts_.size() ||
        group_[static_cast<std::size_t>(texts_[i])] != group_[static_cast<std::size_t>(texts_[i - 1])]) {
      max_texts_ = std::max(max_texts_, static_cast<std::int64_t>(i - starts_.back()));
      starts_.push_back(i);
    }
  }
}

}  // namespace laconic::runtime
