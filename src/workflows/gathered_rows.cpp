
#include "workflows/gathered_rows.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/cancel.h"
#include "graph/graph.h"
#include "laconic/error.h"
#include "quant/static.h"
#include "workflows/batches.h"

namespace laconic {

using quant::MatrixView;

RowsShape RowsShapeOf(const Graph& graph, const std::string& value) {
  const std::optional<ValueId> id = graph.FindValue(value);
  if (!id) {
    Fail(ErrorCode::kInternal, "no value '", value, "'");
  }
  const ValueType& type = graph.value(*id).type;
  return {type.has_rank(3) ? runtime::Rows::kTokens : runtime::Rows::kTexts,
          type.has_shape && !type.shape.empty() ? type.shape.back().size : -1};
}

RowGatherer::RowGatherer(const Graph& graph, const std::vector<std::string>& values, int num_threads)
    : data_(values.size()),
      compiled_(runtime::CompileTapped(graph, values, this)),
      session_(std::in_place, compiled_, num_threads) {
  for (const std::string& value : values) {
    shapes_.push_back(RowsShapeOf(graph, value));
  }
}

std::int64_t RowGatherer::bytes_per_token() const {
  std::int64_t bytes = 0;
  for (const RowsShape& shape : shapes_) {
    bytes += shape.rows == runtime::Rows::kTokens ? shape.width * static_cast<std::int64_t>(sizeof(float)) : 0;
  }
  return bytes;
}

MatrixView RowGatherer::rows(std::size_t value) const {
  const std::int64_t width = shapes_[value].width;
  return {data_[value].data(), static_cast<std::int64_t>(data_[value].size()) / width, width};
}

void RowGatherer::BeginBatch(const runtime::TapBatch& batch) {
  const auto num_texts = static_cast<std::int64_t>(batch.starts.size()) - 1;
  for (std::size_t i = 0; i < data_.size(); ++i) {
    const std::int64_t rows = shapes_[i].rows == runtime::Rows::kTokens ? batch.starts.back() : num_texts;
    data_[i].resize(static_cast<std::size_t>(rows * shapes_[i].width));
  }
}

void RowGatherer::TakeRows(const runtime::TapRows& rows) noexcept {
  float* out = data_[rows.value].data() + rows.first_row * rows.width;
  for (std::int64_t i = 0; i < rows.num_rows; ++i) {
    std::copy_n(rows.data + i * rows.stride, rows.width, out + i * rows.width);
  }
}

namespace {

// A dynamic quantizer with one scale a text is a static one once the text is there; nothing for a text that no scale
// holds.
std::optional<quant::ActivationQuantizer> OfText(const quant::ActivationQuantizer& quantizer, const MatrixView& rows) {
  float lo = 0;
  float hi = 0;
  bool is_finite = true;
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    for (std::int64_t j = 0; j < rows.cols; ++j) {
      const float value = rows.row(i)[static_cast<std::size_t>(j)] *
                          (quantizer.inv_smooth.empty() ? 1.0F : quantizer.inv_smooth[static_cast<std::size_t>(j)]);
      lo = std::min(lo, value);
      hi = std::max(hi, value);
      is_finite = is_finite && std::isfinite(value);
    }
  }
  if (!is_finite || !std::isfinite(hi - lo)) {
    return std::nullopt;
  }
  return quant::ActivationQuantizer{quantizer.inv_smooth, quant::DynamicParams(lo, hi)};
}

void QuantizeText(const quant::ActivationQuantizer& quantizer, const MatrixView& rows, std::uint8_t* codes,
                  std::int64_t* num_ties) {
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    const std::span<std::uint8_t> out(codes + i * rows.cols, static_cast<std::size_t>(rows.cols));
    const quant::RowParams params = QuantizeRow(quantizer, rows.row(i), out);
    *num_ties += CountTies(quantizer, params, rows.row(i));
  }
}

}  // namespace

BatchCodes QuantizeBatch(const passes::InputQuantizer& input, const MatrixView& rows, runtime::Rows kind,
                         const std::vector<std::int64_t>& starts) {
  BatchCodes out;
  out.codes.resize(static_cast<std::size_t>(rows.size()));
  for (std::size_t text = 0; text + 1 < starts.size(); ++text) {
    const bool is_token = kind == runtime::Rows::kTokens;
    const std::int64_t begin = is_token ? starts[text] : static_cast<std::int64_t>(text);
    const std::int64_t end = is_token ? starts[text + 1] : begin + 1;
    const MatrixView part = {rows.data + begin * rows.cols, end - begin, rows.cols};
    if (const auto quantizer = input.per_text ? OfText(input.quantizer, part) : input.quantizer) {
      QuantizeText(*quantizer, part, out.codes.data() + begin * rows.cols, &out.num_ties);
    }
  }
  return out;
}

BatchReader::BatchReader(const Tokenizer& tokenizer, std::int64_t max_length, NextRowFn next, std::int64_t max_texts,
                         std::int64_t bytes_per_token)
    : tokenizer_(tokenizer),
      max_length_(max_length),
      next_(std::move(next)),
      max_texts_(max_texts),
      max_tokens_(std::max<std::int64_t>(1, kGatheredBytes / std::max<std::int64_t>(1, bytes_per_token))) {
  if (max_texts < 1) {
    Fail(ErrorCode::kInvalidArgument, "batch: expected at least 1, got ", max_texts);
  }
}

bool BatchReader::Next() {
  batch_.clear();
  starts_.assign(1, 0);
  while (static_cast<std::int64_t>(batch_.size()) < max_texts_ && starts_.back() < max_tokens_) {
    ThrowIfCancelled();
    const std::optional<DatasetRow> row = next_();
    if (!row) {
      break;
    }
    batch_.push_back(EncodeRow(tokenizer_, *row, max_length_));
    num_truncated_ += batch_.back().truncated ? 1 : 0;
    starts_.push_back(starts_.back() + static_cast<std::int64_t>(batch_.back().ids.size()));
  }
  num_texts_ += static_cast<std::int64_t>(batch_.size());
  num_tokens_ += starts_.back();
  return !batch_.empty();
}

ValuePlace BatchReader::PlaceOf(runtime::Rows rows, std::int64_t row) const {
  const std::int64_t first_text = num_texts_ - static_cast<std::int64_t>(batch_.size()) + 1;
  if (rows == runtime::Rows::kTexts) {
    return {first_text + row, -1};
  }
  const auto start = std::ranges::upper_bound(starts_, row) - 1;
  return {first_text + (start - starts_.begin()), row - *start};
}

}  // namespace laconic
