// What the planner has no kernels for, run op by op by the interpreter: slower, but any graph that takes a text's token
// ids. One text at a time, so that there is no padding and no answer depends on its neighbours, whatever the graph does
// along the batch (a DynamicQuantizeLinear takes its range there).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "graph/graph.h"
#include "interpreter/interpreter.h"
#include "laconic/tokenizer.h"
#include "runtime/tap.h"

namespace laconic::runtime {

class PlainModel {
 public:
  // Inputs may be input_ids, attention_mask and token_type_ids, in any order, s64 or s32 [batch, sequence]. The answer
  // is the output called `logits`, or else the first that is f32 [batch, labels]. What depends on no input is computed
  // here, once, up to kMaxFoldedBytes a value; so is one text of zeros, to know the answer's width and that the graph
  // runs. `reason`: why there is no plan. Errors: kUnsupported for other inputs, and where no output is an answer,
  // naming it; the interpreter's.
  // `taps` are names of values for `sink` (tap.h): f32 [1, tokens, width] or [1, width] for one text, of fixed width.
  PlainModel(Graph graph, std::string reason, std::span<const std::string> taps = {}, TapSink* sink = nullptr);

  // One row of output_width() values a text. Precondition: CompiledModel::Check of each, of which there are some.
  // Errors: the interpreter's, naming the text; kResource for a value of more than kMaxValueBytes.
  std::vector<float> Run(std::span<const Encoding> batch, ThreadPool* pool) const;

  std::int64_t output_width() const noexcept { return output_width_; }
  std::int64_t num_ids() const noexcept { return num_ids_; }  // rows of the smallest table that ids look into; 0: none
  std::int64_t memory_bytes() const noexcept;                 // constants, and what was computed once
  std::string Describe() const;

 private:
  void CheckInputs() const;
  void Fold();
  void FindNumIds();
  void ChooseOutput();
  std::map<ValueId, Tensor> MakeInputs(const Encoding& encoding) const;
  // The answer for text number `text` of a batch, whose tokens start there at `first_token`.
  std::vector<float> RunOne(const Encoding& encoding, std::int64_t text, std::int64_t first_token) const;
  void HandOver(std::size_t tap, const Tensor& rows, std::int64_t text, std::int64_t first_token,
                std::int64_t num_tokens) const;

  Graph graph_;
  std::string reason_;
  std::vector<ValueId> taps_;
  TapSink* sink_ = nullptr;
  std::map<ValueId, Tensor> folded_;
  ValueId output_ = kNoValue;
  std::int64_t output_width_ = 0;
  std::int64_t num_ids_ = 0;
};

}  // namespace laconic::runtime
