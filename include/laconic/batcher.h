// Texts of many clients run together: a server's requests, grouped by a deadline.
#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "laconic/session.h"

namespace laconic {

struct BatcherOptions {
  std::int64_t max_texts = 32;                // of a batch
  std::int64_t max_tokens = 4096;             // of a batch of more than one text; no padding is counted or computed
  std::chrono::microseconds max_wait{2'000};  // of a batch's oldest text for others; 0: runs what is there
};

// Safe to use from any number of threads.
class Batcher {
 public:
  // Takes `session` over: a thread of the batcher's own runs it. Errors: kInvalidArgument for limits below 1 or a
  // negative wait; kResource.
  explicit Batcher(Session session, const BatcherOptions& options = {});
  // Answers what has been submitted, without waiting for more.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // The text's output_width() values: the same bits as from Session::Run on this text alone. The future throws what
  // Session::Run would, for this text only: its neighbours get their answers. Never waits, so that texts queue without
  // bound if they come faster than the model runs: a server that limits its open requests limits them.
  std::future<std::vector<float>> Submit(Encoding text);
  // The same, waited for.
  std::vector<float> Run(Encoding text) { return Submit(std::move(text)).get(); }

  const CompiledModel& model() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace laconic
