#include "base/thread_pool.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "laconic/error.h"

namespace laconic {
namespace {

TEST(ThreadPoolTest, RunsEveryTaskOnce) {
  for (const int num_threads : {1, 2, 5}) {
    ThreadPool pool(num_threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(round));
      pool.Run(round, [&](std::int64_t task, int thread) {
        EXPECT_LT(thread, num_threads);
        ++seen[static_cast<std::size_t>(task)];
      });
      for (const auto& count : seen) {
        ASSERT_EQ(count, 1);
      }
    }
  }
}

TEST(ThreadPoolTest, WakesAfterSleeping) {
  ThreadPool pool(2);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> sum{0};
    pool.Run(10, [&](std::int64_t task, int) { sum += static_cast<int>(task); });
    EXPECT_EQ(sum, 45);
  }
}

// More threads than CPUs and hardly any work: workers come late, when their region is over and the next has begun.
TEST(ThreadPoolTest, LateWorkersTakeNothingOfAnotherRegion) {
  const auto serve = [] {
    ThreadPool pool(5);
    for (std::int64_t round = 0; round < 3000; ++round) {
      const std::int64_t num_tasks = 2 + round % 4;
      std::vector<std::int64_t> seen(static_cast<std::size_t>(num_tasks));  // gone when Run is over
      pool.Run(num_tasks, [&](std::int64_t task, int) { seen[static_cast<std::size_t>(task)] += round; });
      ASSERT_EQ(seen, std::vector<std::int64_t>(seen.size(), round));
    }
  };
  std::thread other(serve);
  serve();
  other.join();
}

TEST(ThreadPoolTest, RefusesZeroThreads) {
  EXPECT_THROW(ThreadPool(0), Error);
  EXPECT_GE(AvailableThreads(), 1);
}

}  // namespace
}  // namespace laconic
