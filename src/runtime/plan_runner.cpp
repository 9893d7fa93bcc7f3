#include "runtime/plan_runner.h"

#include <algorithm>
#include <cstring>

#include "runtime/text_groups.h"

namespace laconic::runtime {
namespace {

constexpr std::int64_t kRowUnit = 16;                      // chunks are multiples of the tallest tile
constexpr std::int64_t kMostRows = kChunkRows + kRowUnit;  // of a chunk: most groups of texts are one

}  // namespace

PlanRunner::PlanRunner(const Plan& plan, ThreadPool& pool)
    : plan_(plan),
      pool_(pool),
      shared_(plan.slots.size()),
      local_(static_cast<std::size_t>(pool.num_threads())),
      scratch_(local_.size()),
      memory_(local_.size()) {
  for (std::size_t thread = 0; thread < local_.size(); ++thread) {
    local_[thread].resize(plan.slots.size());
    memory_[thread].places().resize(plan.buffers.size());
  }
}

void PlanRunner::Reserve(std::int64_t num_tokens, std::int64_t num_texts, std::int64_t longest) {
  const std::int64_t chunk_rows = std::max(kMostRows, kMinRowsPerThread * pool_.num_threads() + kRowUnit);
  std::int64_t scratch_bytes = 0;
  for (const auto& step : plan_.steps) {
    scratch_bytes = std::max(scratch_bytes, step->ScratchBytes(longest));
  }
  const auto grow = [](AlignedBytes& bytes, std::int64_t wanted) {
    if (bytes.size_bytes() < wanted) {
      bytes = AlignedBytes();  // first give the old block back
      bytes = AlignedBytes(wanted);
    }
  };
  for (AlignedBytes& bytes : scratch_) {
    grow(bytes, scratch_bytes);
  }
  for (std::size_t slot = 0; slot < plan_.slots.size(); ++slot) {
    const Buffer& buffer = plan_.slots[slot];
    const std::int64_t num_rows = buffer.rows == Rows::kTokens ? num_tokens : num_texts;
    if (!plan_.slot_is_local[slot]) {
      grow(shared_[slot], num_rows * buffer.row_bytes);
      continue;
    }
    for (std::vector<AlignedBytes>& slots : local_) {
      grow(slots[slot], std::min(chunk_rows, num_rows) * buffer.row_bytes);
    }
  }
  for (std::size_t thread = 0; thread < memory_.size(); ++thread) {
    for (std::size_t i = 0; i < plan_.buffers.size(); ++i) {
      const auto slot = static_cast<std::size_t>(plan_.slot[i]);
      const AlignedBytes& bytes = plan_.slot_is_local[slot] ? local_[thread][slot] : shared_[slot];
      memory_[thread].places()[i] = {bytes.data(), plan_.buffers[i].row_bytes, plan_.is_local[i]};
    }
  }
}

void PlanRunner::Run(const Inputs& inputs) {
  RunUpToTexts(inputs);
  RunTexts(inputs);
}

void PlanRunner::RunUpToTexts(const Inputs& inputs) {
  for (std::size_t i = 0; i < plan_.text_segments; ++i) {
    RunSegment(inputs, plan_.segments[i]);
  }
}

void PlanRunner::TakeText(std::int64_t text, const PlanRunner& from, std::int64_t its_text) {
  for (const BufferId buffer : plan_.handed_on) {
    const Memory& memory = memory_[0];  // as any thread's: such buffers are whole
    std::memcpy(memory.Row<std::byte>(buffer, text), from.memory_[0].Row<std::byte>(buffer, its_text),
                static_cast<std::size_t>(memory.RowBytes(buffer)));
  }
}

void PlanRunner::RunTexts(const Inputs& inputs) {
  for (std::size_t i = plan_.text_segments; i < plan_.segments.size(); ++i) {
    RunSegment(inputs, plan_.segments[i]);
  }
}

void PlanRunner::RunSegment(const Inputs& inputs, const Segment& segment) {
  const Step& first = *plan_.steps[segment.first];
  if (!first.is_row_wise()) {
    const Memory& whole = WholeMemory();
    pool_.Run(first.NumTasks(inputs), [&](std::int64_t task, int thread) {
      first.RunTask(inputs, whole, task, scratch_[static_cast<std::size_t>(thread)].data());
    });
    return;
  }
  const std::int64_t num_rows = inputs.num_rows(first.rows());
  if (pool_.num_threads() == 1 || num_rows >= kMinRowsPerThread * pool_.num_threads()) {
    RunByRows(inputs, segment, num_rows);
  } else {
    RunByColumns(inputs, segment, num_rows);
  }
}

void PlanRunner::RunByRows(const Inputs& inputs, const Segment& segment, std::int64_t num_rows) {
  // As many chunks as threads, or a multiple, so that all finish together.
  const std::int64_t threads = pool_.num_threads();
  const std::int64_t rounds = std::max<std::int64_t>(1, (num_rows + kMostRows * threads - 1) / (kMostRows * threads));
  const std::int64_t even = (num_rows + rounds * threads - 1) / (rounds * threads);
  const std::int64_t chunk = (even + kRowUnit - 1) / kRowUnit * kRowUnit;
  pool_.Run((num_rows + chunk - 1) / chunk, [&](std::int64_t task, int thread) {
    const Work work = {task * chunk, std::min(num_rows, (task + 1) * chunk)};
    Memory& own = memory_[static_cast<std::size_t>(thread)];
    own.StartChunk(work.begin);
    for (std::size_t i = segment.first; i < segment.last; ++i) {
      plan_.steps[i]->Run(inputs, own, work);
    }
  });
}

void PlanRunner::RunByColumns(const Inputs& inputs, const Segment& segment, std::int64_t num_rows) {
  const Memory& whole = WholeMemory();
  const int num_parts = pool_.num_threads();
  for (std::size_t i = segment.first; i < segment.last; ++i) {
    pool_.Run(num_parts, [&](std::int64_t part, int) {
      plan_.steps[i]->Run(inputs, whole, {0, num_rows, static_cast<int>(part), num_parts});
    });
  }
}

}  // namespace laconic::runtime
