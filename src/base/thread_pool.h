// A fixed set of threads that run one parallel region at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace laconic {

// Threads this process may use: the affinity mask, lowered by a cgroup CPU quota (rounded up). At least 1.
int AvailableThreads();

class ThreadPool {
 public:
  // `num_threads` counts the caller: 1 starts none. Errors: kInvalidArgument below 1 or above 1024; kResource.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const noexcept;

  // Calls body(task, thread) for every task in [0, num_tasks), each once, on up to num_threads() threads, the caller
  // among them; returns when all are done. `thread` in [0, num_threads()) tells which scratch space is the caller's
  // own. `body` must not throw. One caller at a time.
  void Run(std::int64_t num_tasks, const std::function<void(std::int64_t task, int thread)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace laconic
