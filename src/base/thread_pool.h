// A fixed set of threads that run one parallel region at a time.
#pragma once

#include <cstdint>
#include <memory>

namespace laconic {

// Threads this process may use: the affinity mask, lowered by a control group's CPU quota (rounded up). At least 1.
int AvailableThreads();

class ThreadPool {
 public:
  // `num_threads` counts the caller: 1 starts none. Errors: kInvalidArgument below 1 or above 1024; kResource.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const noexcept;

  // Calls body(task, thread) for every task in [0, num_tasks), each once, in no stated order, on up to num_threads()
  // threads, the caller among them; returns when all are done. `thread` in [0, num_threads()) tells which scratch space
  // is the caller's own. `body` must not throw. Allocates nothing. One caller at a time; num_tasks < 2^32.
  template <typename Body>
  void Run(std::int64_t num_tasks, const Body& body) {
    RunRegion(num_tasks, {&body, [](const void* self, std::int64_t task, int thread) {
                            (*static_cast<const Body*>(self))(task, thread);
                          }});
  }

 private:
  struct Region {
    const void* body;
    void (*call)(const void* body, std::int64_t task, int thread);
  };
  struct State;
  void RunRegion(std::int64_t num_tasks, const Region& region);

  std::unique_ptr<State> state_;
};

}  // namespace laconic
