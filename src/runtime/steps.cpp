#include "runtime/steps.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include <fmt/format.h>

#include "quant/static.h"

namespace laconic::runtime {
namespace {

struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const noexcept { return end - begin; }
};

// The share `part` of `num_parts` of begin … end - 1, cut at multiples of `unit` from `begin`.
Range Share(std::int64_t begin, std::int64_t end, std::int64_t unit, int part, int num_parts) {
  const std::int64_t units = (end - begin + unit - 1) / unit;
  const std::int64_t first = units * part / num_parts;
  const std::int64_t last = units * (part + 1) / num_parts;
  return {std::min(end, begin + first * unit), std::min(end, begin + last * unit)};
}

Range RowsOf(const Work& work) { return Share(work.begin, work.end, 1, work.part, work.num_parts); }

std::string_view NameOf(kernels::Activation activation) {
  switch (activation) {
    case kernels::Activation::kNone:
      return "";
    case kernels::Activation::kGeluErf:
      return " + gelu";
    case kernels::Activation::kGeluTanh:
      return " + gelu (tanh)";
    case kernels::Activation::kRelu:
      return " + relu";
    case kernels::Activation::kTanh:
      return " + tanh";
  }
  return "";
}

const float* MultiplierOf(const Tensor& multiplier) {
  return multiplier.num_elements() == 0 ? nullptr : multiplier.data_as<float>();
}

std::string QuantizeNote(const std::optional<CodesSpec>& codes) {
  if (!codes) {
    return "";
  }
  return fmt::format("{} + quantize{}", codes->multiplier.num_elements() == 0 ? "" : " + scale",
                     codes->fixed ? fmt::format(" by {}", codes->fixed->scale) : "");
}

std::string_view ScaleNote(const Tensor& multiplier) { return multiplier.num_elements() == 0 ? "" : "scale + "; }

const std::int64_t* IdsOf(const Inputs& inputs, IdSource source) {
  switch (source) {
    case IdSource::kIds:
      return inputs.ids.data();
    case IdSource::kTypeIds:
      return inputs.type_ids.data();
    case IdSource::kPositions:
      return inputs.positions.data();
    case IdSource::kZeros:
      return inputs.zeros.data();
  }
  return nullptr;
}

}  // namespace

EmbeddingStep::EmbeddingStep(kernels::Isa isa, std::vector<Table> tables, Matrix out)
    : Step(Rows::kTokens, {}, {out.buffer}),
      kernels_(kernels::GetEmbedding(isa)),
      tables_(std::move(tables)),
      out_(out) {}

void EmbeddingStep::Run(const Inputs& inputs, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  kernels::EmbeddingArgs args;
  args.tokens = range.size();
  args.cols = out_.width;
  args.num_tables = static_cast<std::int64_t>(tables_.size());
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    const Table& table = tables_[i];
    args.tables[i] = {.data = table.data.data(),
                      .type = table.type,
                      .row_stride = table.data.strides()[0],
                      .scale = table.data.dtype() == DType::kS8 ? table.scale.data_as<float>() : nullptr,
                      .block = table.block,
                      .ids = IdsOf(inputs, table.ids) + range.begin};
  }
  args.out = memory.Row(out_, range.begin);
  args.out_stride = memory.Stride(out_);
  kernels_.run(args);
}

std::string EmbeddingStep::Describe() const {
  std::vector<std::string> names;
  for (const Table& table : tables_) {
    names.push_back(fmt::format("{} {}", table.name, ToString(table.data.dtype())));
  }
  return fmt::format("embed {} [{}]", fmt::join(names, " + "), kernels::ToString(kernels_.isa));
}

namespace {

std::vector<BufferId> ReadBy(const LayerNormSpec& spec) {
  return spec.residual ? std::vector{spec.x.buffer, spec.residual->buffer} : std::vector{spec.x.buffer};
}

std::vector<BufferId> WrittenBy(const LayerNormSpec& spec) {
  std::vector<BufferId> writes = spec.codes ? BuffersOf(spec.codes->out) : std::vector<BufferId>();
  writes.push_back(spec.out.buffer);
  return writes;
}

}  // namespace

LayerNormStep::LayerNormStep(kernels::Isa isa, LayerNormSpec spec)
    : Step(spec.rows, ReadBy(spec), WrittenBy(spec)), kernels_(kernels::GetLayerNorm(isa)), spec_(std::move(spec)) {}

void LayerNormStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  kernels::LayerNormArgs args;
  args.rows = range.size();
  args.cols = spec_.x.width;
  args.x = memory.Row(spec_.x, range.begin);
  args.x_stride = memory.Stride(spec_.x);
  if (spec_.residual) {
    args.residual = memory.Row(*spec_.residual, range.begin);
    args.residual_stride = memory.Stride(*spec_.residual);
  }
  args.gamma = spec_.gamma.data_as<float>();
  args.beta = spec_.beta.data_as<float>();
  args.epsilon = spec_.epsilon;
  args.out = memory.Row(spec_.out, range.begin);
  args.out_stride = memory.Stride(spec_.out);
  if (spec_.codes) {
    const QuantizedMatrix& codes = spec_.codes->out;
    args.q = memory.Row<std::uint8_t>(codes.codes, range.begin);
    args.q_stride = memory.RowBytes(codes.codes);
    args.q_multiplier = MultiplierOf(spec_.codes->multiplier);
    args.q_scale = memory.Row<float>(codes.scale, range.begin);
    args.q_zero = memory.Row<std::int32_t>(codes.zero_point, range.begin);
    args.q_is_static = spec_.codes->fixed.has_value();
    args.static_scale = spec_.codes->fixed.value_or(StaticScale()).scale;
    args.static_zero = spec_.codes->fixed.value_or(StaticScale()).zero_point;
  }
  kernels_.run(args);
}

std::string LayerNormStep::Describe() const {
  return fmt::format("{}layer norm{} {} [{}]", spec_.residual ? "add + " : "", QuantizeNote(spec_.codes), spec_.name,
                     kernels::ToString(kernels_.isa));
}

QuantizeStep::QuantizeStep(kernels::Isa isa, QuantizeSpec spec)
    : Step(spec.rows, {spec.x.buffer}, BuffersOf(spec.out)),
      kernels_(kernels::GetQuantizeRows(isa)),
      spec_(std::move(spec)) {}

void QuantizeStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  kernels_.run({.rows = range.size(),
                .cols = spec_.x.width,
                .x = memory.Row(spec_.x, range.begin),
                .x_stride = memory.Stride(spec_.x),
                .multiplier = MultiplierOf(spec_.multiplier),
                .q = memory.Row<std::uint8_t>(spec_.out.codes, range.begin),
                .q_stride = memory.RowBytes(spec_.out.codes),
                .scale = memory.Row<float>(spec_.out.scale, range.begin),
                .zero_point = memory.Row<std::int32_t>(spec_.out.zero_point, range.begin)});
}

std::string QuantizeStep::Describe() const {
  return fmt::format("{}quantize {} columns [{}]", ScaleNote(spec_.multiplier), spec_.x.width,
                     kernels::ToString(kernels_.isa));
}

namespace {

// `rows` rows from `first`, all with one scale.
kernels::QuantizeStaticArgs StaticArgs(const QuantizeSpec& spec, const Memory& memory, Range range,
                                       const StaticScale& fixed) {
  return {.rows = range.size(),
          .cols = spec.x.width,
          .x = memory.Row(spec.x, range.begin),
          .x_stride = memory.Stride(spec.x),
          .multiplier = MultiplierOf(spec.multiplier),
          .scale = fixed.scale,
          .zero_point = fixed.zero_point,
          .q = memory.Row<std::uint8_t>(spec.out.codes, range.begin),
          .q_stride = memory.RowBytes(spec.out.codes),
          .row_scale = memory.Row<float>(spec.out.scale, range.begin),
          .row_zero = memory.Row<std::int32_t>(spec.out.zero_point, range.begin)};
}

}  // namespace

QuantizeStaticStep::QuantizeStaticStep(kernels::Isa isa, QuantizeSpec spec, const quant::QuantParams& params)
    : Step(spec.rows, {spec.x.buffer}, BuffersOf(spec.out)),
      kernels_(kernels::GetQuantizeStatic(isa)),
      spec_(std::move(spec)),
      params_(params) {}

void QuantizeStaticStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  kernels_.run(StaticArgs(spec_, memory, range, {params_.scale, quant::ZeroPointAsU8(params_)}));
  if (!params_.limits) {
    return;
  }
  const std::int32_t least = quant::LeastCode(params_.dtype);
  const auto lo = static_cast<std::uint8_t>(params_.limits->min - least);
  const auto hi = static_cast<std::uint8_t>(params_.limits->max - least);
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    auto* codes = memory.Row<std::uint8_t>(spec_.out.codes, row);
    std::transform(codes, codes + spec_.x.width, codes, [&](std::uint8_t code) { return std::clamp(code, lo, hi); });
  }
}

std::string QuantizeStaticStep::Describe() const {
  const std::string limits =
      params_.limits ? fmt::format(" to codes {} to {}", params_.limits->min, params_.limits->max) : "";
  return fmt::format("{}quantize {} columns by {}{} [{}]", ScaleNote(spec_.multiplier), spec_.x.width, params_.scale,
                     limits, kernels::ToString(kernels_.isa));
}

QuantizeTextStep::QuantizeTextStep(kernels::Isa isa, QuantizeSpec spec)
    : Step(spec.rows, {spec.x.buffer}, BuffersOf(spec.out)),
      kernels_(kernels::GetQuantizeStatic(isa)),
      find_range_(kernels::GetQuantizeRows(isa).find_range),
      spec_(std::move(spec)) {}

std::string QuantizeTextStep::Describe() const {
  return fmt::format("{}quantize each text's {} columns [{}]", ScaleNote(spec_.multiplier), spec_.x.width,
                     kernels::ToString(kernels_.isa));
}

void QuantizeTextStep::RunTask(const Inputs& inputs, const Memory& memory, std::int64_t task, std::byte*) const {
  const auto text = static_cast<std::size_t>(task);
  const Range range =
      spec_.rows == Rows::kTexts ? Range{task, task + 1} : Range{inputs.starts[text], inputs.starts[text + 1]};
  kernels::RowRange whole;
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    const auto [lo, hi, finite] = find_range_(memory.Row(spec_.x, row), MultiplierOf(spec_.multiplier), spec_.x.width);
    whole = {std::min(whole.lo, lo), std::max(whole.hi, hi), whole.finite && finite};
  }
  if (whole.finite && std::isfinite(whole.hi - whole.lo)) {
    const quant::QuantParams params = quant::DynamicParams(whole.lo, whole.hi);
    kernels_.run(StaticArgs(spec_, memory, range, {params.scale, params.zero_point}));
    return;
  }
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    std::fill_n(memory.Row<std::uint8_t>(spec_.out.codes, row), spec_.x.width, std::uint8_t{0});
    *memory.Row<float>(spec_.out.scale, row) = std::numeric_limits<float>::quiet_NaN();
    *memory.Row<std::int32_t>(spec_.out.zero_point, row) = 0;
  }
}

void DequantizeStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    const auto* codes = memory.Row<std::uint8_t>(x_.codes, row);
    const float scale = *memory.Row<float>(x_.scale, row);
    const std::int32_t zero_point = *memory.Row<std::int32_t>(x_.zero_point, row);
    float* out = memory.Row(out_, row);
    for (std::int64_t i = 0; i < x_.width; ++i) {
      out[i] = scale * static_cast<float>(codes[i] - zero_point);
    }
  }
}

std::string DequantizeStep::Describe() const { return fmt::format("dequantize {} columns", x_.width); }

void ClipStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    const float* x = memory.Row(x_, row);
    std::transform(x, x + x_.width, memory.Row(out_, row), [&](float value) { return std::clamp(value, lo_, hi_); });
  }
}

std::string ClipStep::Describe() const { return fmt::format("clip {} columns to {} to {}", x_.width, lo_, hi_); }

void ScaleStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  const float* factors = multiplier_.data_as<float>();
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    const float* x = memory.Row(x_, row);
    float* out = memory.Row(out_, row);
    for (std::int64_t i = 0; i < x_.width; ++i) {
      out[i] = x[i] * factors[i];
    }
  }
}

std::string ScaleStep::Describe() const { return fmt::format("scale {} columns", x_.width); }

void BiasStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  const float* bias = bias_.data_as<float>();
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    const float* x = memory.Row(x_, row);
    std::transform(x, x + x_.width, bias, memory.Row(out_, row), std::plus<>());
  }
}

std::string BiasStep::Describe() const { return fmt::format("add a bias to {} columns", x_.width); }

LinearU8S8Step::LinearU8S8Step(LinearSpec spec, QuantizedMatrix x, PackedS8 weights)
    : Step(spec.rows, BuffersOf(x), spec.codes ? BuffersOf(spec.codes->out) : std::vector{spec.out.buffer}),
      spec_(std::move(spec)),
      x_(x),
      weights_(std::move(weights)) {}

void LinearU8S8Step::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range columns = Share(0, weights_.n, weights_.kernels->panel_columns(weights_.n), work.part, work.num_parts);
  kernels::GemmU8S8Args args = {.m = work.end - work.begin,
                                .n = weights_.n,
                                .k = weights_.k,
                                .a = memory.Row<std::uint8_t>(x_.codes, work.begin),
                                .a_stride = memory.RowBytes(x_.codes),
                                .a_scale = memory.Row<float>(x_.scale, work.begin),
                                .a_zero = memory.Row<std::int32_t>(x_.zero_point, work.begin),
                                .packed = weights_.weights.data,
                                .w_scale = weights_.scale.data(),
                                .bias = weights_.bias.data(),
                                .activation = spec_.activation,
                                .n_begin = columns.begin,
                                .n_end = columns.end};
  if (x_.fixed) {
    args.a_is_static = true;
    args.a_static_scale = x_.fixed->scale;
    args.a_static_zero = x_.fixed->zero_point;
  }
  if (spec_.codes) {
    args.q = memory.Row<std::uint8_t>(spec_.codes->out.codes, work.begin);
    args.q_stride = memory.RowBytes(spec_.codes->out.codes);
    args.q_multiplier = MultiplierOf(spec_.codes->multiplier);
    args.q_scale = spec_.codes->fixed->scale;
    args.q_zero = spec_.codes->fixed->zero_point;
    WriteRowScales(memory, work);
  } else {
    args.out = memory.Row(spec_.out, work.begin);
    args.out_stride = memory.Stride(spec_.out);
  }
  weights_.kernels->run(args);
}

// A row is NaN if its input is: the planner has made sure that nothing else gives NaN.
void LinearU8S8Step::WriteRowScales(const Memory& memory, const Work& work) const {
  for (std::int64_t row = work.begin; work.part == 0 && row < work.end; ++row) {
    const float x_scale = *memory.Row<float>(x_.scale, row);
    const bool is_nan = std::isnan(x_scale);
    *memory.Row<float>(spec_.codes->out.scale, row) = is_nan ? x_scale : spec_.codes->fixed->scale;
    *memory.Row<std::int32_t>(spec_.codes->out.zero_point, row) = is_nan ? 0 : spec_.codes->fixed->zero_point;
  }
}

std::string LinearU8S8Step::Describe() const {
  return fmt::format("linear u8s8 {} x {}{}{} {} [{}]", weights_.k, weights_.n, NameOf(spec_.activation),
                     QuantizeNote(spec_.codes), spec_.name, kernels::ToString(weights_.kernels->isa));
}

LinearF32Step::LinearF32Step(LinearSpec spec, Matrix x, PackedF32 weights)
    : Step(spec.rows, {x.buffer}, {spec.out.buffer}), spec_(std::move(spec)), x_(x), weights_(std::move(weights)) {}

void LinearF32Step::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range columns = Share(0, weights_.n, weights_.kernels->panel_columns(weights_.n), work.part, work.num_parts);
  weights_.kernels->run({.m = work.end - work.begin,
                         .n = weights_.n,
                         .k = weights_.k,
                         .a = memory.Row(x_, work.begin),
                         .a_stride = memory.Stride(x_),
                         .packed = weights_.weights.data,
                         .type = weights_.type,
                         .bias = weights_.bias.data(),
                         .activation = spec_.activation,
                         .out = memory.Row(spec_.out, work.begin),
                         .out_stride = memory.Stride(spec_.out),
                         .n_begin = columns.begin,
                         .n_end = columns.end});
}

std::string LinearF32Step::Describe() const {
  constexpr std::array<std::string_view, 4> kStored = {"", ", f16 weights", ", bf16 weights", ", s8 weights"};
  return fmt::format("linear f32{} {} x {}{} {} [{}]", kStored[static_cast<std::size_t>(weights_.type)], weights_.k,
                     weights_.n, NameOf(spec_.activation), spec_.name, kernels::ToString(weights_.kernels->isa));
}

namespace {

std::uint16_t* WordsOf(const Memory& memory, const BFloat16Matrix& matrix, std::int64_t row) {
  return memory.Row<std::uint16_t>(matrix.buffer, row);
}

std::int64_t StrideOf(const Memory& memory, const BFloat16Matrix& matrix) {
  return memory.RowBytes(matrix.buffer) / static_cast<std::int64_t>(sizeof(std::uint16_t));
}

}  // namespace

RoundStep::RoundStep(kernels::Isa isa, Rows rows, Matrix x, BFloat16Matrix out)
    : Step(rows, {x.buffer}, {out.buffer}), kernels_(kernels::GetGemmBF16(isa)), x_(x), out_(out) {}

void RoundStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  kernels_.round_rows({.rows = range.size(),
                       .cols = x_.width,
                       .x = memory.Row(x_, range.begin),
                       .x_stride = memory.Stride(x_),
                       .out = WordsOf(memory, out_, range.begin),
                       .out_stride = StrideOf(memory, out_)});
}

std::string RoundStep::Describe() const {
  return fmt::format("round {} columns to bf16 [{}]", x_.width, kernels::ToString(kernels_.isa));
}

LinearBF16Step::LinearBF16Step(LinearSpec spec, BFloat16Matrix x, PackedBF16 weights)
    : Step(spec.rows, {x.buffer}, {spec.rounded ? spec.rounded->buffer : spec.out.buffer}),
      spec_(std::move(spec)),
      x_(x),
      weights_(std::move(weights)) {}

void LinearBF16Step::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range columns = Share(0, weights_.n, weights_.kernels->panel_columns(weights_.n), work.part, work.num_parts);
  kernels::GemmBF16Args args = {.m = work.end - work.begin,
                                .n = weights_.n,
                                .k = weights_.k,
                                .a = WordsOf(memory, x_, work.begin),
                                .a_stride = StrideOf(memory, x_),
                                .packed = weights_.weights.data,
                                .bias = weights_.bias.data(),
                                .activation = spec_.activation,
                                .n_begin = columns.begin,
                                .n_end = columns.end};
  if (spec_.rounded) {
    args.rounded = WordsOf(memory, *spec_.rounded, work.begin);
    args.out_stride = StrideOf(memory, *spec_.rounded);
  } else {
    args.out = memory.Row(spec_.out, work.begin);
    args.out_stride = memory.Stride(spec_.out);
  }
  weights_.kernels->run(args);
}

std::string LinearBF16Step::Describe() const {
  return fmt::format("linear bf16 {} x {}{}{} {} [{}]", weights_.k, weights_.n, NameOf(spec_.activation),
                     spec_.rounded ? " + round" : "", spec_.name, kernels::ToString(weights_.kernels->isa));
}

ActivationStep::ActivationStep(kernels::Isa isa, Rows rows, kernels::Activation activation, Matrix x, Matrix out)
    : Step(rows, {x.buffer}, {out.buffer}),
      kernels_(kernels::GetElementwise(isa)),
      activation_(activation),
      x_(x),
      out_(out) {}

void ActivationStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    kernels_.activate(activation_, x_.width, memory.Row(x_, row), memory.Row(out_, row));
  }
}

std::string ActivationStep::Describe() const {
  return fmt::format("activation{} [{}]", NameOf(activation_), kernels::ToString(kernels_.isa));
}

AddStep::AddStep(kernels::Isa isa, Rows rows, Matrix a, Matrix b, Matrix out)
    : Step(rows, {a.buffer, b.buffer}, {out.buffer}), kernels_(kernels::GetElementwise(isa)), a_(a), b_(b), out_(out) {}

void AddStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    kernels_.add(a_.width, memory.Row(a_, row), memory.Row(b_, row), memory.Row(out_, row));
  }
}

std::string AddStep::Describe() const { return fmt::format("add [{}]", kernels::ToString(kernels_.isa)); }

std::string AttentionStep::Describe() const {
  return fmt::format("attention{}{}{} {} heads of {} {} [{}]", spec_.operands.empty() ? "" : " ", spec_.operands,
                     spec_.queries == Rows::kTexts ? " of first tokens," : "", spec_.num_heads,
                     spec_.q.width / spec_.num_heads, spec_.name, kernels::ToString(kernels_.isa));
}

std::int64_t AttentionStep::NumTasks(const Inputs& inputs) const { return inputs.num_texts() * spec_.num_heads; }

std::int64_t AttentionStep::ScratchBytes(std::int64_t longest_text) const {
  return kernels_.scratch_bytes(longest_text, spec_.q.width / spec_.num_heads);
}

void AttentionStep::RunTask(const Inputs& inputs, const Memory& memory, std::int64_t task, std::byte* scratch) const {
  const std::int64_t text = task / spec_.num_heads;
  const std::int64_t head = task % spec_.num_heads;
  const std::int64_t head_dim = spec_.q.width / spec_.num_heads;
  const std::int64_t first = inputs.starts[static_cast<std::size_t>(text)];
  const std::int64_t length = inputs.starts[static_cast<std::size_t>(text) + 1] - first;
  const bool is_first_only = spec_.queries == Rows::kTexts;
  const std::int64_t query = is_first_only ? text : first;
  kernels_.run({.queries = is_first_only ? 1 : length,
                .keys = length,
                .head_dim = head_dim,
                .q = memory.Row(spec_.q, query) + head * head_dim,
                .q_stride = memory.Stride(spec_.q),
                .k = memory.Row(spec_.k, first) + head * head_dim,
                .k_stride = memory.Stride(spec_.k),
                .v = memory.Row(spec_.v, first) + head * head_dim,
                .v_stride = memory.Stride(spec_.v),
                .scale = spec_.scale,
                .out = memory.Row(spec_.out, query) + head * head_dim,
                .out_stride = memory.Stride(spec_.out),
                .scratch = scratch});
}

void FirstTokenStep::Run(const Inputs& inputs, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  for (std::int64_t text = range.begin; text < range.end; ++text) {
    std::memcpy(memory.Row(out_, text), memory.Row(x_, inputs.starts[static_cast<std::size_t>(text)]),
                static_cast<std::size_t>(x_.width) * sizeof(float));
  }
}

void TapStep::Run(const Inputs&, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  if (range.size() > 0) {
    sink_->TakeRows({.value = value_,
                     .rows = rows(),
                     .first_row = range.begin,
                     .num_rows = range.size(),
                     .width = x_.width,
                     .data = memory.Row(x_, range.begin),
                     .stride = memory.Stride(x_)});
  }
}

void MeanPoolStep::Run(const Inputs& inputs, const Memory& memory, const Work& work) const {
  const Range range = RowsOf(work);
  for (std::int64_t text = range.begin; text < range.end; ++text) {
    const std::int64_t first = inputs.starts[static_cast<std::size_t>(text)];
    const std::int64_t last = inputs.starts[static_cast<std::size_t>(text) + 1];
    float* out = memory.Row(out_, text);
    std::fill_n(out, out_.width, 0.0F);
    for (std::int64_t token = first; token < last; ++token) {
      const float* row = memory.Row(x_, token);
      for (std::int64_t i = 0; i < out_.width; ++i) {
        out[i] += row[i];
      }
    }
    for (std::int64_t i = 0; i < out_.width; ++i) {
      out[i] /= static_cast<float>(last - first);
    }
  }
}

}  // namespace laconic::runtime
