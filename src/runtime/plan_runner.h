// Runs a plan: its memory, and the order in which threads take the work.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned_bytes.h"
#include "base/thread_pool.h"
#include "runtime/plan.h"

namespace laconic::runtime {

class PlanRunner {
 public:
  // Both must outlive it.
  PlanRunner(const Plan& plan, ThreadPool& pool);

  // Memory for as many tokens and texts, none longer than `longest` tokens. It grows to the largest asked for and
  // stays.
  void Reserve(std::int64_t num_tokens, std::int64_t num_texts, std::int64_t longest);
  // Allocates nothing. Precondition: Reserve() for what `inputs` holds.
  void Run(const Inputs& inputs);
  // The same in two parts: what has a row a token, then what has a row a text alone, perhaps for the texts of several
  // runners. Threads may take different texts at the same time.
  void RunUpToTexts(const Inputs& inputs);
  void TakeText(std::int64_t text, const PlanRunner& from, std::int64_t its_text);
  void RunTexts(const Inputs& inputs);
  // The result of a text of the last Run.
  const float* Output(std::int64_t text) { return WholeMemory().Row(plan_.output, text); }

 private:
  void RunSegment(const Inputs& inputs, const Segment& segment);
  void RunByRows(const Inputs& inputs, const Segment& segment, std::int64_t num_rows);
  void RunByColumns(const Inputs& inputs, const Segment& segment, std::int64_t num_rows);

  // The memory of work on all rows.
  const Memory& WholeMemory() {
    memory_[0].StartChunk(0);
    return memory_[0];
  }

  const Plan& plan_;
  ThreadPool& pool_;
  std::vector<AlignedBytes> shared_;              // by slot, all rows
  std::vector<std::vector<AlignedBytes>> local_;  // by thread and slot, a chunk of rows
  std::vector<AlignedBytes> scratch_;             // by thread
  std::vector<Memory> memory_;                    // by thread: where the above lie
};

}  // namespace laconic::runtime
