#include "laconic/session.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "base/aligned_bytes.h"
#include "base/thread_pool.h"
#include "graph/graph.h"
#include "laconic/error.h"
#include "passes/read_rows.h"
#include "runtime/plain_model.h"
#include "runtime/plan.h"
#include "runtime/planner.h"
#include "runtime/tap.h"

namespace laconic {
namespace {

using runtime::Inputs;
using runtime::Memory;
using runtime::Plan;
using runtime::Rows;
using runtime::Segment;
using runtime::Work;

// Rows that a thread takes through a segment at a time: enough to reuse a weight panel from the L1 cache, few enough
// that the widest intermediate of a base-size model (128 x 3072 f32) stays in L2.
constexpr std::int64_t kChunkRows = 128;
// With fewer rows a thread, cutting each layer by columns reads every weight once instead of once a thread.
constexpr std::int64_t kMinRowsPerThread = 32;
constexpr std::int64_t kRowUnit = 16;  // chunks are multiples of the tallest tile

Graph KeepReadRows(const Graph& graph, std::span<const std::string> tapped) {
  std::set<ValueId> kept;
  for (const std::string& name : tapped) {
    if (const std::optional<ValueId> value = graph.FindValue(name)) {
      kept.insert(*value);
    }
  }
  return passes::KeepReadRows(graph, kept);
}

}  // namespace

struct CompiledModel::Impl {
  Plan plan;
  std::optional<runtime::PlainModel> plain;  // instead of a plan
  kernels::Isa isa = kernels::Isa::kScalar;
  std::int64_t max_length = 0;
};

CompiledModel::CompiledModel(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
CompiledModel::~CompiledModel() = default;

std::shared_ptr<const CompiledModel> CompiledModel::Compile(const Model& model, const CompileOptions& options) {
  return runtime::CompileTapped(model.graph(), {}, nullptr, options);
}

std::shared_ptr<const CompiledModel> runtime::CompileTapped(const Graph& graph, std::span<const std::string> values,
                                                            TapSink* sink, const CompileOptions& options) {
  const kernels::Isa isa = options.isa.empty() ? kernels::ActiveIsa() : kernels::ParseIsa(options.isa);
  if (!kernels::IsaSupported(isa)) {
    Fail(ErrorCode::kUnsupported, "this CPU lacks the level ", kernels::ToString(isa));
  }
  auto impl = std::make_unique<CompiledModel::Impl>();
  impl->isa = isa;
  try {
    impl->plan = runtime::MakePlan(KeepReadRows(graph, values), isa, values, sink, options.saturating);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported) {
      throw;
    }
    impl->plain.emplace(graph, error.what(), values, sink);
  }
  const std::int64_t positions = impl->plan.max_positions;
  impl->max_length = positions > 0 ? positions : std::numeric_limits<std::int64_t>::max();
  return std::make_shared<const CompiledModel>(std::move(impl));
}

std::int64_t CompiledModel::output_width() const noexcept {
  return impl_->plain ? impl_->plain->output_width() : impl_->plan.output.width;
}
std::int64_t CompiledModel::num_ids() const noexcept {
  return impl_->plain ? impl_->plain->num_ids() : impl_->plan.num_ids;
}
std::int64_t CompiledModel::max_length() const noexcept { return impl_->max_length; }
std::int64_t CompiledModel::memory_bytes() const noexcept {
  return impl_->plain ? impl_->plain->memory_bytes() : impl_->plan.memory_bytes;
}
std::string CompiledModel::isa() const { return std::string(kernels::ToString(impl_->isa)); }
std::string CompiledModel::PlanText() const {
  return impl_->plain ? impl_->plain->Describe() : runtime::PrintPlan(impl_->plan);
}

struct Session::Impl {
  Impl(std::shared_ptr<const CompiledModel> compiled, int num_threads)
      : model(std::move(compiled)), plan(model->impl().plan), pool(num_threads) {}

  std::vector<float> Run(std::span<const Encoding> batch);

  void SetInputs(std::span<const Encoding> batch);
  void Append(const Encoding& encoding);
  void Reserve();
  AlignedBytes& Arena(std::size_t slot, int thread) {
    return plan.slot_is_local[slot] ? local[static_cast<std::size_t>(thread)][slot] : shared[slot];
  }
  Memory MemoryOf(int thread, std::int64_t first_row);
  void RunSegment(const Segment& segment);
  void RunByRows(const Segment& segment, std::int64_t num_rows);
  void RunByColumns(const Segment& segment, std::int64_t num_rows);

  std::shared_ptr<const CompiledModel> model;
  const Plan& plan;
  ThreadPool pool;
  Inputs inputs;
  std::vector<AlignedBytes> shared;              // by slot, all rows
  std::vector<std::vector<AlignedBytes>> local;  // by thread and slot, a chunk of rows
  std::vector<AlignedBytes> scratch;             // by thread
};

void Session::Impl::Append(const Encoding& encoding) {
  const auto length = static_cast<std::int64_t>(encoding.ids.size());
  const auto check = [](std::string_view what, std::int64_t got, std::int64_t limit) {
    if (got < 0 || got >= limit) {
      Fail(ErrorCode::kInvalidArgument, what, " ", got, " is outside 0 to ", limit - 1);
    }
  };
  if (length == 0 || length > model->max_length()) {
    Fail(ErrorCode::kInvalidArgument, "expected 1 to ", model->max_length(), " tokens, got ", length);
  }
  if (!encoding.type_ids.empty() && encoding.type_ids.size() != encoding.ids.size()) {
    Fail(ErrorCode::kInvalidArgument, "expected as many token types as tokens, ", length, ", got ",
         encoding.type_ids.size());
  }
  for (std::int64_t i = 0; i < length; ++i) {
    const std::int64_t id = encoding.ids[static_cast<std::size_t>(i)];
    const std::int64_t type = encoding.type_ids.empty() ? 0 : encoding.type_ids[static_cast<std::size_t>(i)];
    if (plan.num_ids > 0) {
      check("token id", id, plan.num_ids);
    }
    if (plan.num_types > 0) {
      check("token type", type, plan.num_types);
    }
    inputs.ids.push_back(id);
    inputs.type_ids.push_back(type);
    inputs.positions.push_back(i);
    inputs.zeros.push_back(0);
  }
  inputs.starts.push_back(static_cast<std::int64_t>(inputs.ids.size()));
}

void Session::Impl::SetInputs(std::span<const Encoding> batch) {
  inputs.ids.clear();
  inputs.type_ids.clear();
  inputs.positions.clear();
  inputs.zeros.clear();
  inputs.starts.assign(1, 0);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    WithFrame([&] { return "text " + std::to_string(i) + " of the batch"; }, [&] { Append(batch[i]); });
  }
}

// Memory grows to the largest batch seen and stays.
void Session::Impl::Reserve() {
  const auto num_threads = static_cast<std::size_t>(pool.num_threads());
  const std::int64_t chunk_rows = std::max(kChunkRows, kMinRowsPerThread * pool.num_threads()) + kRowUnit;
  shared.resize(plan.slots.size());
  local.resize(num_threads);
  scratch.resize(num_threads);
  std::int64_t scratch_bytes = 0;
  for (const auto& step : plan.steps) {
    scratch_bytes = std::max(scratch_bytes, step->ScratchBytes(inputs));
  }
  const auto grow = [](AlignedBytes& bytes, std::int64_t wanted) {
    if (bytes.size_bytes() < wanted) {
      bytes = AlignedBytes();  // first give the old block back
      bytes = AlignedBytes(wanted);
    }
  };
  for (std::size_t thread = 0; thread < num_threads; ++thread) {
    local[thread].resize(plan.slots.size());
    grow(scratch[thread], scratch_bytes);
  }
  for (std::size_t slot = 0; slot < plan.slots.size(); ++slot) {
    const runtime::Buffer& buffer = plan.slots[slot];
    if (!plan.slot_is_local[slot]) {
      grow(shared[slot], inputs.num_rows(buffer.rows) * buffer.row_bytes);
      continue;
    }
    for (std::size_t thread = 0; thread < num_threads; ++thread) {
      grow(local[thread][slot], std::min(chunk_rows, inputs.num_rows(buffer.rows)) * buffer.row_bytes);
    }
  }
}

Memory Session::Impl::MemoryOf(int thread, std::int64_t first_row) {
  std::vector<Memory::Place> places(plan.buffers.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto slot = static_cast<std::size_t>(plan.slot[i]);
    places[i] = {Arena(slot, thread).data(), plan.buffers[i].row_bytes, plan.is_local[i] ? first_row : 0};
  }
  return Memory(std::move(places));
}

void Session::Impl::RunByRows(const Segment& segment, std::int64_t num_rows) {
  // As many chunks as threads, or a multiple, so that all finish together.
  const std::int64_t threads = pool.num_threads();
  const std::int64_t rounds = std::max<std::int64_t>(1, (num_rows + kChunkRows * threads - 1) / (kChunkRows * threads));
  const std::int64_t even = (num_rows + rounds * threads - 1) / (rounds * threads);
  const std::int64_t chunk = (even + kRowUnit - 1) / kRowUnit * kRowUnit;
  pool.Run((num_rows + chunk - 1) / chunk, [&](std::int64_t task, int thread) {
    const Work work = {task * chunk, std::min(num_rows, (task + 1) * chunk)};
    const Memory memory = MemoryOf(thread, work.begin);
    for (std::size_t i = segment.first; i < segment.last; ++i) {
      plan.steps[i]->Run(inputs, memory, work);
    }
  });
}

void Session::Impl::RunByColumns(const Segment& segment, std::int64_t num_rows) {
  const Memory memory = MemoryOf(0, 0);
  const int num_parts = pool.num_threads();
  for (std::size_t i = segment.first; i < segment.last; ++i) {
    pool.Run(num_parts, [&](std::int64_t part, int) {
      plan.steps[i]->Run(inputs, memory, {0, num_rows, static_cast<int>(part), num_parts});
    });
  }
}

void Session::Impl::RunSegment(const Segment& segment) {
  const runtime::Step& first = *plan.steps[segment.first];
  if (!first.is_row_wise()) {
    const Memory memory = MemoryOf(0, 0);
    pool.Run(first.NumTasks(inputs), [&](std::int64_t task, int thread) {
      first.RunTask(inputs, memory, task, scratch[static_cast<std::size_t>(thread)].data());
    });
    return;
  }
  const std::int64_t num_rows = inputs.num_rows(first.rows());
  if (pool.num_threads() == 1 || num_rows >= kMinRowsPerThread * pool.num_threads()) {
    RunByRows(segment, num_rows);
  } else {
    RunByColumns(segment, num_rows);
  }
}

std::vector<float> Session::Impl::Run(std::span<const Encoding> batch) {
  if (model->impl().plain) {
    return model->impl().plain->Run(batch, &pool);
  }
  SetInputs(batch);
  if (batch.empty()) {
    return {};
  }
  Reserve();
  if (plan.tap_sink != nullptr) {
    plan.tap_sink->BeginBatch({inputs.starts});
  }
  for (const Segment& segment : plan.segments) {
    RunSegment(segment);
  }
  if (plan.tap_sink != nullptr) {
    plan.tap_sink->EndBatch();
  }
  const std::int64_t width = plan.output.width;
  std::vector<float> output(batch.size() * static_cast<std::size_t>(width));
  const Memory memory = MemoryOf(0, 0);
  for (std::size_t text = 0; text < batch.size(); ++text) {
    std::copy_n(memory.Row(plan.output, static_cast<std::int64_t>(text)), width,
                output.begin() + static_cast<std::ptrdiff_t>(text) * width);
  }
  return output;
}

Session::Session(std::shared_ptr<const CompiledModel> model, int num_threads)
    : impl_(std::make_unique<Impl>(std::move(model), num_threads)) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

std::vector<float> Session::Run(std::span<const Encoding> batch) { return impl_->Run(batch); }

}  // namespace laconic
