#include "laconic/session.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/file.h"
#include "base/float_mode.h"
#include "base/thread_pool.h"
#include "graph/graph.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "laconic/error.h"
#include "passes/read_rows.h"
#include "runtime/plain_model.h"
#include "runtime/plan.h"
#include "runtime/plan_runner.h"
#include "runtime/planner.h"
#include "runtime/tap.h"
#include "runtime/text_groups.h"

namespace laconic {
namespace {

using runtime::Inputs;
using runtime::Plan;

// Of linear layers: about what two cores of a server have of its L3 cache.
constexpr std::int64_t kMostGroupedBytes = 16 << 20;

Graph KeepReadRows(const Graph& graph, std::span<const std::string> tapped) {
  std::set<ValueId> kept;
  for (const std::string& name : tapped) {
    if (const std::optional<ValueId> value = graph.FindValue(name)) {
      kept.insert(*value);
    }
  }
  return passes::KeepReadRows(graph, kept);
}

// `num_rows`: of the table that they look into; 0: it is not known.
void CheckIds(std::string_view what, std::span<const std::int32_t> ids, std::int64_t num_rows) {
  const std::int64_t last = num_rows > 0 ? num_rows - 1 : std::numeric_limits<std::int32_t>::max();
  for (const std::int32_t id : ids) {
    if (id < 0 || id > last) {
      Fail(ErrorCode::kInvalidArgument, what, " ", id, " is outside 0 to ", last);
    }
  }
}

// Beside the artifact's files, or the model's one file. Options under which other weights are packed have their own.
std::filesystem::path PackCachePath(const std::filesystem::path& model, const runtime::PlanOptions& options) {
  const std::string name = fmt::format("{}{}{}{}", runtime::kPackCachePrefix, kernels::ToString(options.isa),
                                       options.precision == kernels::Precision::kBF16 ? ".bf16" : "",
                                       options.saturating ? ".saturating" : "");
  return IsDirectory(model) ? model / name : std::filesystem::path(model.string() + "." + name);
}

kernels::Isa LevelOf(const CompileOptions& options) {
  const kernels::Isa isa = options.isa.empty() ? kernels::ActiveIsa() : kernels::ParseIsa(options.isa);
  kernels::CheckIsaSupported(isa);
  return isa;
}

runtime::PlanOptions PlanOptionsOf(const CompileOptions& options) {
  using enum kernels::Precision;
  runtime::PlanOptions plan = {.isa = LevelOf(options), .saturating = options.saturating};
  if (options.precision == "bf16") {
    if (plan.isa < kernels::Isa::kAvx512BF16) {
      Fail(ErrorCode::kUnsupported, "precision bf16: expected the level avx512_bf16 or above, got ",
           kernels::ToString(plan.isa));
    }
    plan.precision = kBF16;
  } else if (options.precision == "auto") {
    plan.precision = kernels::BFloat16IsFaster(plan.isa) ? kBF16 : kF32;
  } else if (options.precision != "f32") {
    Fail(ErrorCode::kInvalidArgument, "precision: expected f32, bf16 or auto, got '", options.precision, "'");
  }
  return plan;
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
  const DefaultFloatMode mode;
  auto impl = std::make_unique<CompiledModel::Impl>();
  impl->options = PlanOptionsOf(options);
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

// Without a cache the next start is slower, nothing else.
void TryCache(const NoteFn& note, const std::function<void()>& use) {
  try {
    use();
  } catch (const Error& error) {
    if (note) {
      note(std::string("without a pack cache: ") + error.what());
    }
  }
}

std::shared_ptr<const CompiledModel> CompileWithCache(const Model& model, const CompileOptions& options) {
  const std::filesystem::path& path = model.info().path;
  if (path.empty()) {
    Fail(ErrorCode::kInvalidArgument, "a model that was not loaded from files has no place for a pack cache");
  }
  runtime::PackStore packs;
  const runtime::PlanOptions plan = PlanOptionsOf(options);
  TryCache(options.note, [&] { packs = runtime::PackStore(PackCachePath(path, plan)); });
  auto compiled = CompileWith(model.graph(), {}, nullptr, options, &packs);
  if (!compiled->impl().plain) {  // else some layers were packed in vain
    TryCache(options.note, [&] { packs.Save(); });
  }
  return compiled;
}

}  // namespace

std::shared_ptr<const CompiledModel> CompiledModel::Compile(const Model& model, const CompileOptions& options) {
  auto compiled = options.pack_cache ? CompileWithCache(model, options)
                                     : runtime::CompileTapped(model.graph(), {}, nullptr, options);
  // A file may state another shape of its output than it computes.
  const auto num_labels = static_cast<std::int64_t>(model.info().labels.size());
  if (num_labels > 0 && compiled->output_width() != num_labels) {
    Fail(ErrorCode::kInvalidFile, "the model has ", num_labels, " labels, but its graph computes ",
         compiled->output_width(), " numbers a text");
  }
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
    const bool is_bounded = max_length() != std::numeric_limits<std::int64_t>::max();
    Fail(ErrorCode::kInvalidArgument, "expected ", is_bounded ? "1 to " + std::to_string(max_length()) : "at least 1",
         " tokens, got ", length);
  }
  if (!text.type_ids.empty() && text.type_ids.size() != text.ids.size()) {
    Fail(ErrorCode::kInvalidArgument, "expected as many token types as tokens, ", length, ", got ",
         text.type_ids.size());
  }
  CheckIds("token id", text.ids, num_ids());
  if (impl_->plan.num_types > 0) {
    CheckIds("token type", text.type_ids, impl_->plan.num_types);
  }
}
std::string CompiledModel::isa() const {
  return std::string(kernels::ToString(impl_->plain ? kernels::Isa::kScalar : impl_->options.isa));
}
std::string CompiledModel::precision() const {
  return !impl_->plain && impl_->options.precision == kernels::Precision::kBF16 ? "bf16" : "f32";
}
std::string CompiledModel::PlanText() const {
  return impl_->plain ? impl_->plain->Describe() : runtime::PrintPlan(impl_->plan);
}

struct Session::Impl {
  // A thread that runs a group of texts alone.
  struct Lane {
    explicit Lane(const Plan& plan) : runner(plan, pool) {}

    ThreadPool pool{1};
    runtime::PlanRunner runner;
    Inputs inputs;
  };

  Impl(std::shared_ptr<const CompiledModel> compiled, int num_threads)
      : model(std::move(compiled)),
        plan(model->impl().plan),
        pool(num_threads),
        together(plan, pool),
        lanes(static_cast<std::size_t>(num_threads)) {
    for (auto& lane : lanes) {
      lane = std::make_unique<Lane>(plan);
    }
  }

  void Run(std::span<const Encoding> batch, std::span<float> out);

  void SetInputs(std::span<const Encoding> batch);
  void RunTogether(float* out);
  void RunGroups(float* out);
  void CopyOutputs(float* out);

  std::shared_ptr<const CompiledModel> model;
  const Plan& plan;
  ThreadPool pool;
  Inputs inputs;
  runtime::TextGroups groups;
  runtime::PlanRunner together;              // all threads on all texts
  std::vector<std::unique_ptr<Lane>> lanes;  // by thread
};

void Session::Impl::SetInputs(std::span<const Encoding> batch) {
  inputs.Clear();
  for (const Encoding& text : batch) {
    inputs.Append(text.ids, text.type_ids);
  }
}

void Session::Impl::RunTogether(float* out) {
  together.Reserve(inputs.num_tokens(), inputs.num_texts(), inputs.longest_text());
  if (plan.tap_sink != nullptr) {
    plan.tap_sink->BeginBatch({inputs.starts});
  }
  together.Run(inputs);
  if (plan.tap_sink != nullptr) {
    plan.tap_sink->EndBatch();
  }
  CopyOutputs(out);
}

void Session::Impl::CopyOutputs(float* out) {
  for (std::int64_t text = 0; text < inputs.num_texts(); ++text) {
    std::copy_n(together.Output(text), plan.output.width, out + text * plan.output.width);
  }
}

void Session::Impl::RunGroups(float* out) {
  for (auto& lane : lanes) {
    lane->runner.Reserve(groups.max_tokens(), groups.max_texts(), inputs.longest_text());
    lane->inputs.Reserve(groups.max_tokens(), groups.max_texts());
  }
  together.Reserve(0, inputs.num_texts(), 0);
  pool.Run(groups.size(), [&](std::int64_t group, int thread) {
    Lane& lane = *lanes[static_cast<std::size_t>(thread)];
    lane.inputs.Clear();
    for (const std::int64_t text : groups[group]) {
      lane.inputs.Append(inputs, text);
    }
    lane.runner.RunUpToTexts(lane.inputs);
    std::int64_t place = 0;
    for (const std::int64_t text : groups[group]) {
      together.TakeText(text, lane.runner, place++);
    }
  });
  together.RunTexts(inputs);
  CopyOutputs(out);
}

void Session::Impl::Run(std::span<const Encoding> batch, std::span<float> out) {
  const auto width = static_cast<std::size_t>(model->output_width());
  if (out.size() != batch.size() * width) {
    Fail(ErrorCode::kInvalidArgument, "expected room for ", batch.size(), " x ", width, " values, got ", out.size());
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    WithFrame([&] { return "text " + std::to_string(i) + " of the batch"; }, [&] { model->Check(batch[i]); });
  }
  if (batch.empty()) {
    return;
  }
  if (model->impl().plain) {
    std::ranges::copy(model->impl().plain->Run(batch, &pool), out.begin());
    return;
  }
  SetInputs(batch);
  // Taps see the batch as a whole. Each group reads all weights: they have to stay in L3.
  if (plan.tap_sink == nullptr && plan.linear_bytes <= kMostGroupedBytes) {
    groups.Split(inputs, pool.num_threads());
  }
  if (groups.size() == 0) {
    RunTogether(out.data());
  } else {
    RunGroups(out.data());
  }
}

Session::Session(std::shared_ptr<const CompiledModel> model, int num_threads)
    : impl_([&] {
        const DefaultFloatMode mode;  // the threads that it starts inherit it
        return std::make_unique<Impl>(std::move(model), num_threads);
      }()) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

const CompiledModel& Session::model() const noexcept { return *impl_->model; }

void Session::Run(std::span<const Encoding> batch, std::span<float> out) {
  const DefaultFloatMode mode;
  impl_->Run(batch, out);
}

std::vector<float> Session::Run(std::span<const Encoding> batch) {
  std::vector<float> out(batch.size() * static_cast<std::size_t>(model().output_width()));
  Run(batch, out);
  return out;
}

}  // namespace laconic
