#include "runtime/text_groups.h"

#include <algorithm>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

namespace laconic::runtime {
namespace {

Inputs TextsOf(std::span<const std::int64_t> lengths) {
  Inputs inputs;
  for (const std::int64_t length : lengths) {
    inputs.Append(std::vector<std::int32_t>(static_cast<std::size_t>(length), 1), {});
  }
  return inputs;
}

TEST(TextGroupsTest, EveryTextIsInOneGroup) {
  std::mt19937 rng(1);
  for (const int num_threads : {1, 2, 3}) {
    for (const std::size_t num_texts : {1U, 2U, 7U, 64U, 300U}) {
      std::vector<std::int64_t> lengths(num_texts);
      std::ranges::generate(lengths, [&] { return 1 + static_cast<std::int64_t>(rng() % 90); });
      TextGroups groups;
      groups.Split(TextsOf(lengths), num_threads);
      std::vector<std::int64_t> seen;
      for (std::int64_t group = 0; group < groups.size(); ++group) {
        std::int64_t tokens = 0;
        for (const std::int64_t text : groups[group]) {
          seen.push_back(text);
          tokens += lengths[static_cast<std::size_t>(text)];
        }
        EXPECT_LE(tokens, groups.max_tokens());
        EXPECT_LE(std::ssize(groups[group]), groups.max_texts());
      }
      std::ranges::sort(seen);
      std::vector<std::int64_t> all(groups.size() == 0 ? 0 : num_texts);
      std::iota(all.begin(), all.end(), 0);
      EXPECT_EQ(seen, all) << num_threads << " threads, " << num_texts << " texts";
      EXPECT_EQ(groups.size() % num_threads, 0);
    }
  }
}

TEST(TextGroupsTest, EvenGroupsAreMade) {
  TextGroups groups;
  groups.Split(TextsOf(std::vector<std::int64_t>(8, 128)), 2);
  EXPECT_EQ(groups.size(), 8);
  EXPECT_EQ(groups.max_tokens(), 128);
  std::vector<std::int64_t> ragged(16);
  std::ranges::generate(ragged, [length = 0]() mutable { return length += 8; });
  groups.Split(TextsOf(ragged), 2);
  EXPECT_EQ(groups.size(), 8);
  EXPECT_EQ(groups.max_tokens(), 136);  // 1088 tokens: 8 and 128, 16 and 120, …
}

TEST(TextGroupsTest, ThreadsShareTheStepsWhereGroupsWouldBeUneven) {
  TextGroups groups;
  for (const std::vector<std::int64_t>& lengths :
       {std::vector<std::int64_t>{128}, {128, 128, 128}, {200, 100}, {16, 16}}) {
    groups.Split(TextsOf(lengths), 2);
    EXPECT_EQ(groups.size(), 0);
  }
}

}  // namespace
}  // namespace laconic::runtime
