// A model beside smaller versions of itself: bytes, latency, accuracy, what changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "laconic/evaluate.h"

namespace laconic {

// Bytes by class of tensor.
struct TensorBytes {
  std::int64_t linear = 0;
  std::int64_t embedding = 0;
  std::int64_t other = 0;  // biases, LayerNorm
  std::int64_t total() const noexcept { return linear + embedding + other; }
};

struct ComparedModel {
  std::string path;
  std::string method;
  std::string precision;              // "f32" or "bf16", CompileOptions
  std::int64_t disk_bytes = 0;        // of its files, DiskBytes
  std::int64_t stored_bytes = 0;      // its tensors: values, scales, zero points
  TensorBytes tensor_bytes;           // the same by class, as loaded
  std::int64_t memory_bytes = 0;      // weights as held to be run
  double compression_ratio = 0;       // 4 * the base's parameters / stored_bytes
  double size_reduction_percent = 0;  // of disk_bytes, against the base
  ClassificationMetrics metrics;
  LogitComparison change;  // against the base; zeros for the base itself
  LatencySummary latency;  // milliseconds a batch, token ids to logits
};

struct Comparison {
  ProblemType problem = ProblemType::kSingleLabel;
  std::vector<std::string> labels;
  std::int64_t num_texts = 0;
  std::int64_t num_truncated = 0;
  std::int64_t batch = 0;
  int threads = 0;
  std::string isa;
  std::vector<ComparedModel> models;  // the base first
};

// All are run as `options.compile` says, but the base in f32.
// Runs all models over the same batches, in turns, so that whatever else the machine does meets them alike; three
// batches each go first, unmeasured.
// Errors: kInvalidArgument for candidates whose labels are not the base's.
Comparison CompareModels(const std::vector<Model>& models, const LabelledData& data, const RunOptions& options = {});

// The bytes of the files that a model was loaded from: ModelInfo::weight_files, config.json, laconic.json, tokenizer.
// Whatever else lies beside them does not count.
std::int64_t DiskBytes(const Model& model);

TensorBytes CountTensorBytes(const Model& model);

// How the model was compressed: what its laconic.json states, or else what its graph shows, since other ONNX files do
// not state it: "dynamic", "static", or "mixed" by its linear layers in INT8; "int8" if only other tensors are;
// "float".
std::string MethodOf(const Model& model);

}  // namespace laconic
