#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <immintrin.h>
#include <sched.h>

#include "laconic/error.h"

namespace laconic {
namespace {

constexpr int kMaxThreads = 1024;
// About 50 us: longer than the gaps between the steps of one inference, shorter than a scheduler's time slice.
constexpr int kSpins = 2000;

// cgroup v2's "quota period", or a large number where there is no quota.
double CgroupCpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) {
    return kMaxThreads;
  }
  return std::strtod(quota.c_str(), nullptr) / period;
}

}  // namespace

int AvailableThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    cpus = CPU_COUNT(&set);
  }
  const double quota = CgroupCpus();
  if (quota < cpus) {
    cpus = static_cast<int>(quota + 0.999);
  }
  return std::clamp(cpus, 1, kMaxThreads);
}

struct ThreadPool::State {
  ~State() {  // here, so that threads are joined too where the next one could not be started
    stop.store(true, std::memory_order_release);
    Announce();
    for (std::thread& thread : threads) {
      thread.join();
    }
  }

  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<std::uint64_t> epoch{0};  // one more for each region
  std::atomic<bool> stop{false};
  std::atomic<int> running{0};
  std::atomic<std::int64_t> next_task{0};
  std::int64_t num_tasks = 0;
  const std::function<void(std::int64_t, int)>* body = nullptr;

  void Work(int thread) {
    for (std::int64_t task; (task = next_task.fetch_add(1, std::memory_order_relaxed)) < num_tasks;) {
      (*body)(task, thread);
    }
  }

  // Spins a moment, then sleeps, until the epoch differs from `seen`.
  std::uint64_t WaitForRegion(std::uint64_t seen) {
    for (int i = 0; i < kSpins; ++i) {
      const std::uint64_t now = epoch.load(std::memory_order_acquire);
      if (now != seen) {
        return now;
      }
      _mm_pause();
    }
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return epoch.load(std::memory_order_acquire) != seen; });
    return epoch.load(std::memory_order_acquire);
  }

  void ThreadMain(int thread) {
    std::uint64_t seen = 0;
    while (true) {
      seen = WaitForRegion(seen);
      if (stop.load(std::memory_order_acquire)) {
        return;
      }
      Work(thread);
      running.fetch_sub(1, std::memory_order_release);
    }
  }

  void Announce() {
    {
      const std::lock_guard lock(mutex);
      epoch.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
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

void ThreadPool::Run(std::int64_t num_tasks, const std::function<void(std::int64_t task, int thread)>& body) {
  State& state = *state_;
  if (state.threads.empty() || num_tasks <= 1) {
    for (std::int64_t task = 0; task < num_tasks; ++task) {
      body(task, 0);
    }
    return;
  }
  state.body = &body;
  state.num_tasks = num_tasks;
  state.next_task.store(0, std::memory_order_relaxed);
  state.running.store(static_cast<int>(state.threads.size()), std::memory_order_relaxed);
  state.Announce();
  state.Work(0);
  for (int spins = 0; state.running.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins) {
      _mm_pause();
    } else {
      std::this_thread::yield();  // the last task may wait for this very CPU
    }
  }
}

}  // namespace laconic
