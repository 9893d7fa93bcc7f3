#include "laconic/session.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <set>

#include "base/aligned_bytes.h"
#include "base/file.h"
#include "base/thread_pool.h"
#include "graph/graph.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
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

// `limit`: rows of the table that they look into; 0: there is none.
void CheckIds(std::string_view what, std::span<const std::int32_t> ids, std::int64_t limit) {
  for (const std::int32_t id : ids) {
    if (limit > 0 && (id < 0 || id >= limit)) {
      Fail(ErrorCode::kInvalidArgument, what, " ", id, " is outside 0 to ", limit - 1);
    }
  }
}

// Beside the artifact's files, or the model's one file.
std::filesystem::path PackCachePath(const std::filesystem::path& model, kernels::Isa isa) {
  if (model.empty()) {
    Fail(ErrorCode::kInvalidArgument, "a model that was not loaded from files has no place for a pack cache");
  }
  const std::string name = std::string(runtime::kPackCachePrefix) + std::string(kernels::ToString(isa));
  return IsDirectory(model) ? model / name : std::filesystem::path(model.string() + "." + name);
}

kernels::Isa LevelOf(const CompileOptions& options) {
  const kernels::Isa isa = options.isa.empty() ? kernels::ActiveIsa() : kernels::ParseIsa(options.isa);
  kernels::CheckIsaSupported(isa);
  return isa;
}

kernels::Precision PrecisionOf(const CompileOptions& options, kernels::Isa isa) {
  const bool can_round = isa >= kernels::Isa::kAvx512BF16;
  if (options.precision == "f32") {
    return kernels::Precision::kF32;
  }
  if (options.precision == "auto") {
    return can_round && kernels::BFloat16IsFaster(isa) ? kernels::Precision::kBF16 : kernels::Precision::kF32;
  }
  if (options.precision != "bf16") {
    Fail(ErrorCode::kInvalidArgument, "precision: expected f32, bf16 or auto, got '", options.precision, "'");
  }
  if (!can_round) {
    Fail(ErrorCode::kUnsupported, "precision bf16: expected the level avx512_bf16 or above, got ",
         kernels::ToString(isa));
  }
  return kernels::Precision::kBF16;
}

}  // namespace

struct CompiledModel::Impl {
  Plan plan;
  std::optional<runtime::PlainModel> plain;  // instead of a plan
  runtime::PlanOptions options;
  std::int64_t max_length = 0;
};

CompiledModel::CompiledModel(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
CompiledModel::~CompiledModel() = default;

namespace {

std::shared_ptr<const CompiledModel> CompileWith(const Graph& graph, std::span<const std::string> values,
                                                 runtime::TapSink* sink, const CompileOptions& options,
                                                 runtime::PackStore* packs) {
  auto impl = std::make_unique<CompiledModel::Impl>();
  const kernels::Isa isa = LevelOf(options);
  impl->options = {isa, PrecisionOf(options, isa), options.saturating};
  try {
    impl->plan = runtime::MakePlan(KeepReadRows(graph, values), impl->options, values, sink, packs);
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

}  // namespace

std::shared_ptr<const CompiledModel> CompiledModel::Compile(const Model& model, const CompileOptions& options) {
  if (!options.pack_cache) {
    return runtime::CompileTapped(model.graph(), {}, nullptr, options);
  }
  runtime::PackStore packs(PackCachePath(model.info().path, LevelOf(options)));
  auto compiled = CompileWith(model.graph(), {}, nullptr, options, &packs);
  WithFrame([] { return "the pack cache"; }, [&] { packs.Save(); });
  return compiled;
}

std::shared_ptr<const CompiledModel> runtime::CompileTapped(const Graph& graph, std::span<const std::string> values,
                                                            TapSink* sink, const CompileOptions& options) {
  PackStore packs;
  return CompileWith(graph, values, sink, options, &packs);
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
void CompiledModel::Check(const Encoding& text) const {
  const auto length = static_cast<std::int64_t>(text.ids.size());
  if (length == 0 || length > max_length()) {
    Fail(ErrorCode::kInvalidArgument, "expected 1 to ", max_length(), " tokens, got ", length);
  }
  if (!text.type_ids.empty() && text.type_ids.size() != text.ids.size()) {
    Fail(ErrorCode::kInvalidArgument, "expected as many token types as tokens, ", length, ", got ",
         text.type_ids.size());
  }
  CheckIds("token id", text.ids, num_ids());
  CheckIds("token type", text.type_ids, impl_->plan.num_types);
}
std::string CompiledModel::isa() const { return std::string(kernels::ToString(impl_->options.isa)); }
std::string CompiledModel::precision() const {
  return !impl_->plain && impl_->options.precision == kernels::Precision::kBF16 ? "bf16" : "f32";
}
std::string CompiledModel::PlanText() const {
  return impl_->plain ? impl_->plain->Describe() : runtime::PrintPlan(impl_->plan);
}

struct Session::Impl {
  Impl(std::shared_ptr<const CompiledModel> compiled, int num_threads)
      : model(std::move(compiled)),
        plan(model->impl().plan),
        pool(num_threads),
        shared(plan.slots.size()),
        local(static_cast<std::size_t>(num_threads)),
        scratch(local.size()),
        memory(local.size()) {
    for (std::size_t thread = 0; thread < local.size(); ++thread) {
      local[thread].resize(plan.slots.size());
      memory[thread].places().resize(plan.buffers.size());
    }
  }

  void Run(std::span<const Encoding> batch, std::span<float> out);

  void SetInputs(std::span<const Encoding> batch);
  void Append(const Encoding& encoding);
  void Reserve();
  void RunSegment(const Segment& segment);
  void RunByRows(const Segment& segment, std::int64_t num_rows);
  void RunByColumns(const Segment& segment, std::int64_t num_rows);

  // The memory of work on all rows.
  const Memory& WholeMemory() {
    memory[0].StartChunk(0);
    return memory[0];
  }

  std::shared_ptr<const CompiledModel> model;
  const Plan& plan;
  ThreadPool pool;
  Inputs inputs;
  std::vector<AlignedBytes> shared;              // by slot, all rows
  std::vector<std::vector<AlignedBytes>> local;  // by thread and slot, a chunk of rows
  std::vector<AlignedBytes> scratch;             // by thread
  std::vector<Memory> memory;                    // by thread: where the above lie
};

void Session::Impl::Append(const Encoding& encoding) {
  model->Check(encoding);
  const std::size_t length = encoding.ids.size();
  for (std::size_t i = 0; i < length; ++i) {
    inputs.ids.push_back(encoding.ids[i]);
    inputs.type_ids.push_back(encoding.type_ids.empty() ? 0 : encoding.type_ids[i]);
    inputs.positions.push_back(static_cast<std::int64_t>(i));
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
  const std::int64_t chunk_rows = std::max(kChunkRows, kMinRowsPerThread * pool.num_threads()) + kRowUnit;
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
  for (AlignedBytes& bytes : scratch) {
    grow(bytes, scratch_bytes);
  }
  for (std::size_t slot = 0; slot < plan.slots.size(); ++slot) {
    const runtime::Buffer& buffer = plan.slots[slot];
    if (!plan.slot_is_local[slot]) {
      grow(shared[slot], inputs.num_rows(buffer.rows) * buffer.row_bytes);
      continue;
    }
    for (std::vector<AlignedBytes>& slots : local) {
      grow(slots[slot], std::min(chunk_rows, inputs.num_rows(buffer.rows)) * buffer.row_bytes);
    }
  }
  for (std::size_t thread = 0; thread < memory.size(); ++thread) {
    for (std::size_t i = 0; i < plan.buffers.size(); ++i) {
      const auto slot = static_cast<std::size_t>(plan.slot[i]);
      const AlignedBytes& bytes = plan.slot_is_local[slot] ? local[thread][slot] : shared[slot];
      memory[thread].places()[i] = {bytes.data(), plan.buffers[i].row_bytes, plan.is_local[i]};
    }
  }
}

void Session::Impl::RunByRows(const Segment& segment, std::int64_t num_rows) {
  // As many chunks as threads, or a multiple, so that all finish together.
  const std::int64_t threads = pool.num_threads();
  const std::int64_t rounds = std::max<std::int64_t>(1, (num_rows + kChunkRows * threads - 1) / (kChunkRows * threads));
  const std::int64_t even = (num_rows + rounds * threads - 1) / (rounds * threads);
  const std::int64_t chunk = (even + kRowUnit - 1) / kRowUnit * kRowUnit;
  pool.Run((num_rows + chunk - 1) / chunk, [&](std::int64_t task, int thread) {
    const Work work = {task * chunk, std::min(num_rows, (task + 1) * chunk)};
    Memory& own = memory[static_cast<std::size_t>(thread)];
    own.StartChunk(work.begin);
    for (std::size_t i = segment.first; i < segment.last; ++i) {
      plan.steps[i]->Run(inputs, own, work);
    }
  });
}

void Session::Impl::RunByColumns(const Segment& segment, std::int64_t num_rows) {
  const Memory& whole = WholeMemory();
  const int num_parts = pool.num_threads();
  for (std::size_t i = segment.first; i < segment.last; ++i) {
    pool.Run(num_parts, [&](std::int64_t part, int) {
      plan.steps[i]->Run(inputs, whole, {0, num_rows, static_cast<int>(part), num_parts});
    });
  }
}

void Session::Impl::RunSegment(const Segment& segment) {
  const runtime::Step& first = *plan.steps[segment.first];
  if (!first.is_row_wise()) {
    const Memory& whole = WholeMemory();
    pool.Run(first.NumTasks(inputs), [&](std::int64_t task, int thread) {
      first.RunTask(inputs, whole, task, scratch[static_cast<std::size_t>(thread)].data());
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

void Session::Impl::Run(std::span<const Encoding> batch, std::span<float> out) {
  const auto width = static_cast<std::size_t>(model->output_width());
  if (out.size() != batch.size() * width) {
    Fail(ErrorCode::kInvalidArgument, "expected room for ", batch.size(), " x ", width, " values, got ", out.size());
  }
  if (model->impl().plain) {
    std::ranges::copy(model->impl().plain->Run(batch, &pool), out.begin());
    return;
  }
  SetInputs(batch);
  if (batch.empty()) {
    return;
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
  const Memory& whole = WholeMemory();
  for (std::size_t text = 0; text < batch.size(); ++text) {
    std::copy_n(whole.Row(plan.output, static_cast<std::int64_t>(text)), width, out.data() + text * width);
  }
}

Session::Session(std::shared_ptr<const CompiledModel> model, int num_threads)
    : impl_(std::make_unique<Impl>(std::move(model), num_threads)) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

const CompiledModel& Session::model() const noexcept { return *impl_->model; }

void Session::Run(std::span<const Encoding> batch, std::span<float> out) { impl_->Run(batch, out); }

std::vector<float> Session::Run(std::span<const Encoding> batch) {
  std::vector<float> out(batch.size() * static_cast<std::size_t>(model().output_width()));
  Run(batch, out);
  return out;
}

}  // namespace laconic
