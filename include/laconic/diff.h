// Two forms of one model side by side: where their tensors part.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "laconic/evaluate.h"
#include "laconic/model.h"
#include "laconic/predict.h"

namespace laconic {

struct DiffOptions {
  // A tensor diverges when its relative error is over this. Usual errors, for comparison: 1e-6 from one CPU to another,
  // 1e-3 for weights of half the width, 0.01 to 0.04 for INT8. So the default finds what INT8 does not explain.
  double threshold = 0.05;
  RunOptions run;
};

// Where in the data a value stands.
struct ValuePlace {
  std::int64_t text = 0;    // from 1, as rows of a data file are counted
  std::int64_t token = -1;  // of that text, from 0; -1 for a value that belongs to a whole text
  bool operator==(const ValuePlace&) const = default;
};

// Of one tensor over all rows (tokens or texts); d = b - a.
struct TensorDiff {
  std::string name;  // in a
  std::string op;    // that computes it in a
  std::int64_t num_rows = 0;
  std::int64_t width = 0;
  double max_abs = 0;          // max |d|
  double mean_abs = 0;         // mean |d|
  double relative = 0;         // sqrt(sum d^2 / sum a^2); infinite where a is all zeros and b is not, or not_finite > 0
  double signal_to_noise = 0;  // -20 log10(relative), in dB; infinite for equal tensors
  std::int64_t not_finite = 0;     // elements that are NaN or infinite in one only; no part of the sums
  ValuePlace worst;                // of max |d|; its column and the values there:
  std::int64_t worst_column = -1;  // -1 where the tensors are equal
  float worst_a = 0, worst_b = 0;
  std::optional<ValuePlace> first;  // the first row whose own relative error is over the threshold
};

// Of the 8-bit codes that a quantized linear layer reads. Layers that share an input have one entry.
struct CodeDiff {
  std::string layer;           // the first that reads them
  std::int64_t num_codes = 0;  // in each model that has them
  // Values within 2^-14 of a code's width from the middle between two codes: programs whose floats differ in the last
  // bits round these apart. Nothing where a model does not round here.
  std::optional<std::int64_t> ties_a, ties_b;
  // Codes that differ by one, and by more; nothing unless both models round the same value in the same way.
  std::optional<std::int64_t> one_apart, more_apart;
};

struct ModelDiff {
  std::vector<TensorDiff> tensors;   // those of one name, and the outputs, in a's order
  std::optional<std::size_t> first;  // of `tensors`: the first that diverges
  std::optional<std::size_t> worst;  // the one with the largest relative error, of equals the first; none if all equal
  std::vector<CodeDiff> codes;       // in the order of the layers
  std::vector<std::string> only_a, only_b;  // values that have no counterpart
  std::vector<std::string> unlike;          // values of one name and two shapes
  bool has_outputs = false;                 // `tensors` has the outputs: not where their shapes differ
  std::int64_t num_texts = 0;
  std::int64_t num_tokens = 0;
  std::int64_t num_truncated = 0;
};

// Runs both models over the texts, batch by batch: memory does not grow with their number. Tensors of the graphs are
// paired by name, the outputs in any case. The tokenizer is a's, or b's where `a` is a bare ONNX file.
// Errors: kInvalidArgument if neither brings a tokenizer, or there is no text; those of the reader and the sessions.
ModelDiff DiffModels(const Model& a, const Model& b, const NextRowFn& next, const DiffOptions& options = {});

}  // namespace laconic
