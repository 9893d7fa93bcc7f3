// What the workflows share: the meaning of RunOptions' defaults, rows as token ids, and batches of like length.
#pragma once

#include <cstdint>
#include <vector>

#include "laconic/evaluate.h"

namespace laconic {

int NumThreads(const RunOptions& options);

// Errors: kInvalidArgument for a length above the model's.
std::int64_t MaxLength(const Model& model, const RunOptions& options);

// The row's text or pair. Errors: as Tokenizer::Encode.
Encoding EncodeRow(const Tokenizer& tokenizer, const DatasetRow& row, std::int64_t max_length);

// Indices of the texts of each batch.
std::vector<std::vector<std::int64_t>> BatchOrder(const std::vector<Encoding>& texts, std::int64_t batch_size);

// The texts of these indices.
std::vector<Encoding> TakeTexts(const std::vector<Encoding>& texts, const std::vector<std::int64_t>& indices);

// One batch for each element of `order`.
std::vector<std::vector<Encoding>> MakeBatches(const std::vector<Encoding>& texts,
                                               const std::vector<std::vector<std::int64_t>>& order);

// Row i of `rows` becomes row indices[i] of `out`.
void ScatterRows(const std::vector<float>& rows, const std::vector<std::int64_t>& indices, std::int64_t width,
                 std::vector<float>* out);

}  // namespace laconic
