// Running a model: weights packed once for this CPU, then any number of sessions over them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "laconic/model.h"
#include "laconic/progress.h"
#include "laconic/tokenizer.h"

namespace laconic {

struct CompileOptions {
  // "scalar", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx"; empty: the best of this CPU, or what
  // LACONIC_FORCE_ISA names.
  std::string isa;
  // What the operands of products of floats are rounded to: "f32", nothing; "bf16", attention and the linear layers
  // that are not INT8, for which the level must be avx512_bf16 or above; "auto": all of that or nothing, bf16 where a
  // small layer runs faster in it than in f32, measured once a process. Answers in bf16 differ (docs/numerics.md).
  std::string precision = "f32";
  // Sums of u8 times s8 saturate pair by pair, as x86 without VNNI computes them in other runtimes (docs/numerics.md):
  // to see what that does to answers. Slow.
  bool saturating = false;
  // Packed weights are kept in a file beside the model, "packed.<level>" in its directory or after an ONNX file's name
  // (with ".bf16" or ".saturating" added), and mapped by the next start instead of packed again. A file that is damaged
  // or was made from other weights is replaced. Where it cannot be read or written, as in a read-only directory, the
  // model runs without, and `note` is told why.
  bool pack_cache = false;
  NoteFn note;
};

// Immutable; share it between threads.
class CompiledModel {
 public:
  // Plans and packs. A graph with operators that have no kernel is run op by op, one text at a time: slower; PlanText()
  // says so, and why. Errors: kUnsupported for a graph that cannot be run at all, naming the node, input or output, a
  // level that this CPU lacks, or a precision that the level lacks; kInvalidArgument for an unknown level or precision,
  // or a pack cache of a model that was not loaded from files.
  static std::shared_ptr<const CompiledModel> Compile(const Model& model, const CompileOptions& options = {});
  ~CompiledModel();

  std::int64_t output_width() const noexcept;  // labels, or features
  std::int64_t num_ids() const noexcept;       // token ids lie below
  std::int64_t max_length() const noexcept;    // tokens a text may have
  std::int64_t memory_bytes() const noexcept;  // weights as they are held: packed, tables, vectors
  std::string isa() const;                     // the level that runs; "scalar" where the model runs op by op
  std::string precision() const;               // "bf16" if layers or attention may round, else "f32"
  // Errors: kInvalidArgument for a text that is empty, longer than max_length() or has ids out of range.
  void Check(const Encoding& text) const;
  std::string PlanText() const;  // the steps, one a line

  struct Impl;
  explicit CompiledModel(std::unique_ptr<const Impl> impl);  // for src/runtime
  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::unique_ptr<const Impl> impl_;
};

// Buffers and threads for one user at a time. The thread that calls Run takes part: it needs 512 KB of stack.
class Session {
 public:
  // `model` is not null. Errors: kInvalidArgument for a number of threads outside 1 … 1024; kResource.
  Session(std::shared_ptr<const CompiledModel> model, int num_threads);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  // One row of output_width() values a text, row-major. No padding is computed, and a text's values do not depend on
  // the others in the batch or on the number of threads, bit for bit.
  // Errors: kInvalidArgument for an encoding that is empty, longer than max_length() or has ids out of range, naming
  // the text; kResource; of a model that runs op by op also kUnsupported, kCancelled.
  std::vector<float> Run(std::span<const Encoding> batch);
  // The same into `out`, which holds batch.size() * output_width() values. Allocates nothing once batches as large have
  // been run (unless the model runs op by op). Errors: as above; kInvalidArgument for another size of `out`.
  void Run(std::span<const Encoding> batch, std::span<float> out);

  const CompiledModel& model() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace laconic
