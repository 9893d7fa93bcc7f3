// The steps that the planner can choose from: each calls one kernel family.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/quantize_rows/quantize_rows.h"
#include "kernels/quantize_static/quantize_static.h"
#include "quant/static.h"
#include "runtime/packed_linear.h"
#include "runtime/plan.h"
#include "runtime/tap.h"
#include "tensor/tensor.h"

namespace laconic::runtime {

enum class IdSource : std::uint8_t { kIds, kTypeIds, kPositions, kZeros };

struct Table {
  Tensor data;             // [rows, width]: f32, f16, bf16 or s8, row-major
  Tensor scale;            // f32 [rows], or [rows, blocks], where data is s8
  std::int64_t block = 0;  // columns that share a scale; 0: all
  kernels::WeightType type = kernels::WeightType::kF32;
  IdSource ids = IdSource::kIds;
  std::string name;
};

class EmbeddingStep final : public Step {
 public:
  EmbeddingStep(kernels::Isa isa, std::vector<Table> tables, Matrix out);
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  const kernels::EmbeddingKernels& kernels_;
  std::vector<Table> tables_;
  Matrix out_;
};

// The codes that a step also writes, or writes instead of its f32 rows: of the rows times a factor a column.
struct CodesSpec {
  QuantizedMatrix out;
  Tensor multiplier;                 // f32 [width]; no data: none
  std::optional<StaticScale> fixed;  // none: each row has a scale of its own
};

struct LayerNormSpec {
  std::string name;
  Rows rows = Rows::kTokens;
  Matrix x;
  std::optional<Matrix> residual;
  Tensor gamma, beta;  // f32 [width]
  float epsilon = 0;
  Matrix out;
  std::optional<CodesSpec> codes;  // beside the rows
};

class LayerNormStep final : public Step {
 public:
  LayerNormStep(kernels::Isa isa, LayerNormSpec spec);
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  const kernels::LayerNormKernels& kernels_;
  LayerNormSpec spec_;
};

// What is rounded to 8 bits: rows, times a factor a column.
struct QuantizeSpec {
  Rows rows = Rows::kTokens;
  Matrix x;
  Tensor multiplier;  // f32 [width]; no data: none
  QuantizedMatrix out;
};

// Each row with a scale of its own.
class QuantizeStep final : public Step {
 public:
  QuantizeStep(kernels::Isa isa, QuantizeSpec spec);
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  const kernels::QuantizeRowsKernels& kernels_;
  QuantizeSpec spec_;
};

// All rows with one scale, known before.
class QuantizeStaticStep final : public Step {
 public:
  QuantizeStaticStep(kernels::Isa isa, QuantizeSpec spec, const quant::QuantParams& params);
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  const kernels::QuantizeStaticKernels& kernels_;
  QuantizeSpec spec_;
  quant::QuantParams params_;
};

// The rows of a text with one scale, found first: a task is a text.
class QuantizeTextStep final : public Step {
 public:
  QuantizeTextStep(kernels::Isa isa, QuantizeSpec spec);
  void Run(const Inputs&, const Memory&, const Work&) const override {}
  std::string Describe() const override;
  bool is_row_wise() const override { return false; }
  std::int64_t NumTasks(const Inputs& inputs) const override { return inputs.num_texts(); }
  void RunTask(const Inputs& inputs, const Memory& memory, std::int64_t task, std::byte* scratch) const override;

 private:
  const kernels::QuantizeStaticKernels& kernels_;
  kernels::RowRange (*find_range_)(const float* x, const float* multiplier, std::int64_t cols) noexcept;
  QuantizeSpec spec_;
};

// Codes back to f32, for a reader that has no use for integers: scale * (q - zero point).
class DequantizeStep final : public Step {
 public:
  DequantizeStep(Rows rows, QuantizedMatrix x, Matrix out) : Step(rows, BuffersOf(x), {out.buffer}), x_(x), out_(out) {}
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  QuantizedMatrix x_;
  Matrix out_;
};

// Rows between two bounds, for a reader that cannot clip by itself. A NaN stays one.
class ClipStep final : public Step {
 public:
  ClipStep(Rows rows, Matrix x, float lo, float hi, Matrix out)
      : Step(rows, {x.buffer}, {out.buffer}), x_(x), lo_(lo), hi_(hi), out_(out) {}
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  Matrix x_;
  float lo_, hi_;
  Matrix out_;
};

// Rows times a factor a column, for a reader that cannot multiply by itself.
class ScaleStep final : public Step {
 public:
  ScaleStep(Rows rows, Matrix x, Tensor multiplier, Matrix out)
      : Step(rows, {x.buffer}, {out.buffer}), x_(x), multiplier_(std::move(multiplier)), out_(out) {}
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  Matrix x_;
  Tensor multiplier_;  // f32 [width]
  Matrix out_;
};

// Rows plus a bias a column, where a linear layer cannot add it: its own result is rounded first.
class BiasStep final : public Step {
 public:
  BiasStep(Rows rows, Matrix x, Tensor bias, Matrix out)
      : Step(rows, {x.buffer}, {out.buffer}), x_(x), bias_(std::move(bias)), out_(out) {}
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  Matrix x_;
  Tensor bias_;  // f32 [width]
  Matrix out_;
};

struct LinearSpec {
  std::string name;
  Rows rows = Rows::kTokens;
  kernels::Activation activation = kernels::Activation::kNone;
  Matrix out;
  std::optional<CodesSpec> codes;         // instead of the rows; static only, LinearU8S8Step only
  std::optional<BFloat16Matrix> rounded;  // instead of the rows; LinearBF16Step only
};

class LinearU8S8Step final : public Step {
 public:
  LinearU8S8Step(LinearSpec spec, QuantizedMatrix x, PackedS8 weights);
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  void WriteRowScales(const Memory& memory, const Work& work) const;

  LinearSpec spec_;
  QuantizedMatrix x_;
  PackedS8 weights_;
};

class LinearF32Step final : public Step {
 public:
  LinearF32Step(LinearSpec spec, Matrix x, PackedF32 weights);
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  LinearSpec spec_;
  Matrix x_;
  PackedF32 weights_;
};

// f32 rows as bfloat16.
class RoundStep final : public Step {
 public:
  RoundStep(kernels::Isa isa, Rows rows, Matrix x, BFloat16Matrix out);
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  const kernels::GemmBF16Kernels& kernels_;
  Matrix x_;
  BFloat16Matrix out_;
};

class LinearBF16Step final : public Step {
 public:
  LinearBF16Step(LinearSpec spec, BFloat16Matrix x, PackedBF16 weights);
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  LinearSpec spec_;
  BFloat16Matrix x_;
  PackedBF16 weights_;
};

class ActivationStep final : public Step {
 public:
  ActivationStep(kernels::Isa isa, Rows rows, kernels::Activation activation, Matrix x, Matrix out);
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  const kernels::ElementwiseKernels& kernels_;
  kernels::Activation activation_;
  Matrix x_, out_;
};

class AddStep final : public Step {
 public:
  AddStep(kernels::Isa isa, Rows rows, Matrix a, Matrix b, Matrix out);
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override;

 private:
  const kernels::ElementwiseKernels& kernels_;
  Matrix a_, b_, out_;
};

struct AttentionSpec {
  std::string name;
  Matrix q, k, v;
  Rows queries = Rows::kTokens;  // a row of q and out: each token, or each text's first
  std::int64_t num_heads = 0;
  float scale = 0;
  std::string_view operands;  // of its products, where they are not f32: "bf16", "INT8"
  Matrix out;
};

// A task is one head of one text.
class AttentionStep final : public Step {
 public:
  AttentionStep(const kernels::AttentionKernels& kernels, AttentionSpec spec)
      : Step(spec.queries, {spec.q.buffer, spec.k.buffer, spec.v.buffer}, {spec.out.buffer}),
        kernels_(kernels),
        spec_(std::move(spec)) {}
  void Run(const Inputs&, const Memory&, const Work&) const override {}
  std::string Describe() const override;
  bool is_row_wise() const override { return false; }
  std::int64_t NumTasks(const Inputs& inputs) const override;
  std::int64_t ScratchBytes(std::int64_t longest_text) const override;
  void RunTask(const Inputs& inputs, const Memory& memory, std::int64_t task, std::byte* scratch) const override;

 private:
  const kernels::AttentionKernels& kernels_;
  AttentionSpec spec_;
};

// Token rows to one row a text. Row-wise over texts.
class FirstTokenStep final : public Step {
 public:
  FirstTokenStep(Matrix x, Matrix out) : Step(Rows::kTexts, {x.buffer}, {out.buffer}), x_(x), out_(out) {}
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override { return "first token of each text"; }

 private:
  Matrix x_, out_;
};

// Hands rows to a sink.
class TapStep final : public Step {
 public:
  TapStep(TapSink* sink, std::size_t value, std::string name, Rows rows, Matrix x)
      : Step(rows, {x.buffer}, {}), sink_(sink), value_(value), name_(std::move(name)), x_(x) {}
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override { return "tap " + name_; }

 private:
  TapSink* sink_;
  std::size_t value_;
  std::string name_;
  Matrix x_;
};

class MeanPoolStep final : public Step {
 public:
  MeanPoolStep(Matrix x, Matrix out) : Step(Rows::kTexts, {x.buffer}, {out.buffer}), x_(x), out_(out) {}
  void Run(const Inputs& inputs, const Memory& memory, const Work& work) const override;
  std::string Describe() const override { return "mean of each text's tokens"; }

 private:
  Matrix x_, out_;
};

}  // namespace laconic::runtime
