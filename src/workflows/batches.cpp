#include "workflows/batches.h"

#include <algorithm>
#include <iterator>

#include "base/thread_pool.h"
#include "laconic/error.h"

namespace laconic {

int NumThreads(const RunOptions& options) { return options.threads == 0 ? AvailableThreads() : options.threads; }

std::int64_t MaxLength(const Model& model, const RunOptions& options) {
  const std::int64_t own = model.info().max_length;
  if (options.max_length < 0 || options.max_length > own) {
    Fail(ErrorCode::kInvalidArgument, "maximum length: expected 1 to ", own,
         " tokens, which is what the model allows, got ", options.max_length);
  }
  return options.max_length == 0 ? own : options.max_length;
}

Encoding EncodeRow(const Tokenizer& tokenizer, const DatasetRow& row, std::int64_t max_length) {
  return row.second_text ? tokenizer.EncodePair(row.text, *row.second_text, max_length)
                         : tokenizer.Encode(row.text, max_length);
}

std::vector<std::vector<std::int64_t>> BatchOrder(const std::vector<Encoding>& texts, std::int64_t batch_size) {
  std::vector<std::int64_t> lengths;
  lengths.reserve(texts.size());
  for (const Encoding& text : texts) {
    lengths.push_back(static_cast<std::int64_t>(text.ids.size()));
  }
  return BatchByLength(lengths, batch_size);
}

std::vector<Encoding> TakeTexts(const std::vector<Encoding>& texts, const std::vector<std::int64_t>& indices) {
  std::vector<Encoding> taken;
  std::ranges::transform(indices, std::back_inserter(taken),
                         [&](std::int64_t index) { return texts[static_cast<std::size_t>(index)]; });
  return taken;
}

std::vector<std::vector<Encoding>> MakeBatches(const std::vector<Encoding>& texts,
                                               const std::vector<std::vector<std::int64_t>>& order) {
  std::vector<std::vector<Encoding>> batches;
  std::ranges::transform(order, std::back_inserter(batches),
                         [&](const std::vector<std::int64_t>& indices) { return TakeTexts(texts, indices); });
  return batches;
}

void ScatterRows(const std::vector<float>& rows, const std::vector<std::int64_t>& indices, std::int64_t width,
                 std::vector<float>* out) {
  for (std::size_t i = 0; i < indices.size(); ++i) {
    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(i) * width, width, out->begin() + indices[i] * width);
  }
}

}  // namespace laconic
