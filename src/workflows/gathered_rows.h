// All rows of some values of a graph for one batch at a time, as texts come in: for work that looks at several values
// at once, or at a text as a whole.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "laconic/diff.h"
#include "laconic/evaluate.h"
#include "laconic/model.h"
#include "laconic/predict.h"
#include "passes/quantized_layers.h"
#include "quant/matrix.h"
#include "runtime/tap.h"

namespace laconic {

// A value of a graph: does a row belong to a token or a text, and how wide is it?
struct RowsShape {
  runtime::Rows rows = runtime::Rows::kTokens;
  std::int64_t width = 0;
  bool operator==(const RowsShape&) const = default;
};
RowsShape RowsShapeOf(const Graph& graph, const std::string& value);

// Runs a graph and keeps its values' rows until the next batch.
class RowGatherer final : private runtime::TapSink {
 public:
  RowGatherer(const Graph& graph, const std::vector<std::string>& values, int num_threads);
  RowGatherer(const RowGatherer&) = delete;
  RowGatherer& operator=(const RowGatherer&) = delete;

  std::vector<float> Run(std::span<const Encoding> batch) { return session_->Run(batch); }
  quant::MatrixView rows(std::size_t value) const;  // of the last batch
  const RowsShape& shape(std::size_t value) const { return shapes_[value]; }
  std::int64_t bytes_per_token() const;
  std::int64_t max_length() const { return compiled_->max_length(); }

 private:
  void BeginBatch(const runtime::TapBatch& batch) override;
  void TakeRows(const runtime::TapRows& rows) noexcept override;

  std::vector<RowsShape> shapes_;
  std::vector<std::vector<float>> data_;
  std::shared_ptr<const CompiledModel> compiled_;
  std::optional<Session> session_;
};

// The codes that a quantizer gives all rows of a batch.
struct BatchCodes {
  std::vector<std::uint8_t> codes;  // [rows, width]
  std::int64_t num_ties = 0;        // quant::CountTies
};
// `starts`: BatchReader's.
BatchCodes QuantizeBatch(const passes::InputQuantizer& input, const quant::MatrixView& rows, runtime::Rows kind,
                         const std::vector<std::int64_t>& starts);

// Texts as they are read, in batches: of `max_texts`, or fewer once their rows take `kGatheredBytes`.
inline constexpr std::int64_t kGatheredBytes = std::int64_t{256} << 20;
class BatchReader {
 public:
  BatchReader(const Tokenizer& tokenizer, std::int64_t max_length, NextRowFn next, std::int64_t max_texts,
              std::int64_t bytes_per_token);

  // The next texts; false after the last. Errors: those of the tokenizer and of `next`; kCancelled.
  bool Next();

  const std::vector<Encoding>& batch() const noexcept { return batch_; }
  const std::vector<std::int64_t>& starts() const noexcept { return starts_; }  // [texts + 1], of the batch's tokens
  // The text that a token row of the batch belongs to, and which of its tokens it is; of a text row, the text.
  ValuePlace PlaceOf(runtime::Rows rows, std::int64_t row) const;
  std::int64_t num_texts() const noexcept { return num_texts_; }  // so far, as the others
  std::int64_t num_tokens() const noexcept { return num_tokens_; }
  std::int64_t num_truncated() const noexcept { return num_truncated_; }

 private:
  const Tokenizer& tokenizer_;
  std::int64_t max_length_;
  NextRowFn next_;
  std::int64_t max_texts_;
  std::int64_t max_tokens_;
  std::vector<Encoding> batch_;
  std::vector<std::int64_t> starts_;
  std::int64_t num_texts_ = 0;
  std::int64_t num_tokens_ = 0;
  std::int64_t num_truncated_ = 0;
};

}  // namespace laconic
