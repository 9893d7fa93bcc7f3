#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <system_error>
#include <thread>
#include <vector>

#include <immintrin.h>
#include <sched.h>

#include "base/cgroup.h"
#include "laconic/error.h"

namespace laconic {
namespace {

constexpr int kMaxThreads = 1024;
// About 50 us: longer than the gaps between the steps of one inference, shorter than a scheduler's time slice.
constexpr int kSpins = 2000;
constexpr std::uint64_t kTaskMask = 0xffff'ffff;

// Tasks that nobody has taken, in the low half; the number of the region in the high half, so that a thread that was
// held up between a look and its claim cannot take a task of another region.
std::uint64_t Ticket(std::uint64_t region, std::int64_t tasks) {
  return (region << 32) | static_cast<std::uint64_t>(tasks);
}
std::int64_t TasksLeft(std::uint64_t ticket) { return static_cast<std::int64_t>(ticket & kTaskMask); }

}  // namespace

int AvailableThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    cpus = CPU_COUNT(&set);
  }
  if (const std::optional<double> limit = CgroupCpuLimit(); limit && *limit < cpus) {
    cpus = static_cast<int>(std::ceil(*limit));
  }
  return std::clamp(cpus, 1, kMaxThreads);
}

struct ThreadPool::State {
  ~State() {  // here, so that threads are joined too where the next one could not be started
    stop.store(true, std::memory_order_relaxed);
    WakeSleepers();
    for (std::thread& thread : threads) {
      thread.join();
    }
  }

  std::vector<std::thread> threads;
  // Each on a cache line of its own: the first is polled while the second counts down.
  alignas(64) std::atomic<std::uint64_t> ticket{0};
  alignas(64) std::atomic<std::int64_t> unfinished{0};  // tasks of this region
  std::atomic<const Region*> region{nullptr};
  alignas(64) std::atomic<std::uint32_t> wake_ups{0};  // what sleepers wait on: one more for each region
  std::atomic<bool> stop{false};

  // Takes tasks of the region there is until none is left. A worker that comes late finds none, and nobody waits for
  // it.
  void Work(int thread) {
    std::uint64_t seen = ticket.load(std::memory_order_acquire);
    while (TasksLeft(seen) > 0) {
      const Region* const current = region.load(std::memory_order_relaxed);  // lives as long as a task is unfinished
      if (ticket.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
        current->call(current->body, TasksLeft(seen) - 1, thread);
        unfinished.fetch_sub(1, std::memory_order_release);
        seen = ticket.load(std::memory_order_acquire);
      }
    }
  }

  // Spins a moment, then sleeps, until there are tasks or the pool stops.
  void WaitForTasks() {
    const auto is_idle = [&] {
      return TasksLeft(ticket.load(std::memory_order_acquire)) == 0 && !stop.load(std::memory_order_relaxed);
    };
    for (int spins = 0; spins < kSpins; ++spins) {
      if (!is_idle()) {
        return;
      }
      _mm_pause();
    }
    while (true) {
      const std::uint32_t seen = wake_ups.load(std::memory_order_acquire);
      if (!is_idle()) {
        return;
      }
      wake_ups.wait(seen, std::memory_order_acquire);
    }
  }

  void ThreadMain(int thread) {
    while (!stop.load(std::memory_order_relaxed)) {
      Work(thread);
      WaitForTasks();
    }
  }

  // A system call only if somebody sleeps.
  void WakeSleepers() {
    wake_ups.fetch_add(1, std::memory_order_release);
    wake_ups.notify_all();
  }
};

ThreadPool::ThreadPool(int num_threads) : state_(std::make_unique<State>()) {
  if (num_threads < 1 || num_threads > kMaxThreads) {
    Fail(ErrorCode::kInvalidArgument, "threads: expected 1 to ", kMaxThreads, ", got ", num_threads);
  }
  try {
    for (int i = 1; i < num_threads; ++i) {
      state_->threads.emplace_back([state = state_.get(), i] { state->ThreadMain(i); });
    }
  } catch (const std::system_error& error) {
    Fail(ErrorCode::kResource, "cannot start ", num_threads, " threads: ", error.what());
  }
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::num_threads() const noexcept { return static_cast<int>(state_->threads.size()) + 1; }

void ThreadPool::RunRegion(std::int64_t num_tasks, const Region& region) {
  State& state = *state_;
  if (state.threads.empty() || num_tasks <= 1) {
    for (std::int64_t task = 0; task < num_tasks; ++task) {
      region.call(region.body, task, 0);
    }
    return;
  }
  state.region.store(&region, std::memory_order_relaxed);
  state.unfinished.store(num_tasks, std::memory_order_relaxed);
  const std::uint64_t number = (state.ticket.load(std::memory_order_relaxed) >> 32) + 1;
  state.ticket.store(Ticket(number, num_tasks), std::memory_order_release);
  state.WakeSleepers();
  state.Work(0);
  for (int spins = 0; state.unfinished.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins) {
      _mm_pause();
    } else {
      std::this_thread::yield();  // the last task may wait for this very CPU
    }
  }
}

}  // namespace laconic
