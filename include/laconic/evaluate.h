// Running a model over a data set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "laconic/dataset.h"
#include "laconic/metrics.h"
#include "laconic/model.h"
#include "laconic/progress.h"
#include "laconic/session.h"

namespace laconic {

struct RunOptions {
  std::int64_t batch = 32;
  int threads = 0;              // 0: as many as this process may use
  std::int64_t max_length = 0;  // tokens; 0: the model's own
  ProgressFn progress = {};
  // Of Evaluate, Predict, CompareModels and the benchmarks. Others run in f32 on the best level, and pack.
  CompileOptions compile = {};
};

struct EncodedTexts {
  std::vector<Encoding> encodings;
  std::int64_t num_truncated = 0;
};

// Errors: kInvalidArgument for a max_length above the model's, no tokenizer, or texts that are not UTF-8; kCancelled.
EncodedTexts EncodeTexts(const Model& model, const Dataset& data, const RunOptions& options = {});

// Logits (or features) [texts, output_width], in the order of the texts; run in batches of like length.
// Errors: kInvalidArgument for a batch below 1; those of Session; kCancelled.
std::vector<float> ComputeOutputs(const std::shared_ptr<const CompiledModel>& model,
                                  const std::vector<Encoding>& encodings, const RunOptions& options = {});

// The data set as the model's labels read it: `problem` follows the data where the model does not state one.
struct LabelledData {
  Dataset data;
  ProblemType problem = ProblemType::kSingleLabel;
};

// Errors: those of ReadDataset; kInvalidArgument for a model without labels.
LabelledData ReadLabelledData(const Model& model, const std::vector<std::filesystem::path>& paths,
                              DatasetOptions options = {});

struct Evaluation {
  ClassificationMetrics metrics;
  std::int64_t num_texts = 0;
  std::int64_t num_truncated = 0;
};

// Errors: those of EncodeTexts, CompiledModel::Compile and ComputeOutputs.
Evaluation Evaluate(const Model& model, const LabelledData& data, const RunOptions& options = {});

}  // namespace laconic
