#include "laconic/evaluate.h"

#include <algorithm>
#include <optional>
#include <span>

#include "base/cancel.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "laconic/error.h"
#include "workflows/run_options.h"

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

EncodedTexts EncodeTexts(const Model& model, const Dataset& data, const RunOptions& options) {
  const std::int64_t max_length = MaxLength(model, options);
  const Tokenizer& tokenizer = model.tokenizer();
  EncodedTexts encoded;
  encoded.encodings.reserve(data.texts.size());
  for (std::size_t i = 0; i < data.texts.size(); ++i) {
    ThrowIfCancelled();
    encoded.encodings.push_back(data.second_texts.empty()
                                    ? tokenizer.Encode(data.texts[i], max_length)
                                    : tokenizer.EncodePair(data.texts[i], data.second_texts[i], max_length));
    encoded.num_truncated += encoded.encodings.back().truncated ? 1 : 0;
  }
  return encoded;
}

std::vector<std::vector<Encoding>> MakeBatches(const std::vector<Encoding>& encodings,
                                               const std::vector<std::vector<std::int64_t>>& order) {
  std::vector<std::vector<Encoding>> batches;
  for (const std::vector<std::int64_t>& indices : order) {
    std::vector<Encoding>& batch = batches.emplace_back();
    for (const std::int64_t index : indices) {
      batch.push_back(encodings[static_cast<std::size_t>(index)]);
    }
  }
  return batches;
}

Encoding EncodeRow(const Tokenizer& tokenizer, const DatasetRow& row, std::int64_t max_length) {
  return row.second_text ? tokenizer.EncodePair(row.text, *row.second_text, max_length)
                         : tokenizer.Encode(row.text, max_length);
}

std::vector<std::vector<std::int64_t>> BatchOrder(const std::vector<Encoding>& encodings, std::int64_t batch_size) {
  std::vector<std::int64_t> lengths;
  lengths.reserve(encodings.size());
  for (const Encoding& encoding : encodings) {
    lengths.push_back(static_cast<std::int64_t>(encoding.ids.size()));
  }
  return BatchByLength(lengths, batch_size);
}

void ScatterRows(const std::vector<float>& rows, const std::vector<std::int64_t>& indices, std::int64_t width,
                 std::vector<float>* out) {
  for (std::size_t i = 0; i < indices.size(); ++i) {
    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(i) * width, width, out->begin() + indices[i] * width);
  }
}

std::vector<float> ComputeOutputs(const std::shared_ptr<const CompiledModel>& model,
                                  const std::vector<Encoding>& encodings, const RunOptions& options) {
  Session session(model, NumThreads(options));
  const std::int64_t width = model->output_width();
  const auto order = BatchOrder(encodings, options.batch);
  const auto batches = MakeBatches(encodings, order);
  std::vector<float> outputs(encodings.size() * static_cast<std::size_t>(width));
  std::int64_t done = 0;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    ThrowIfCancelled();
    ScatterRows(session.Run(batches[i]), order[i], width, &outputs);
    done += static_cast<std::int64_t>(batches[i].size());
    Report(options.progress, "running", done, static_cast<std::int64_t>(encodings.size()));
  }
  return outputs;
}

namespace {

// The problem of a model that does not state it: multi-label if some text has more than one label, else single-label.
// Errors: kInvalidFile if that leaves a text without a label.
ProblemType ProblemOf(const Dataset& data) {
  const auto num_labels = static_cast<std::size_t>(data.num_labels);
  std::optional<std::size_t> unlabelled;
  for (std::size_t text = 0; text < data.texts.size(); ++text) {
    const auto on = std::ranges::count(std::span(data.targets).subspan(text * num_labels, num_labels), 1);
    if (on > 1) {
      return ProblemType::kMultiLabel;
    }
    if (on == 0 && !unlabelled) {
      unlabelled = text;
    }
  }
  if (unlabelled) {
    Fail(ErrorCode::kInvalidFile, "text ", *unlabelled + 1, " has no label; expected one label for each text, as no ",
         "text has several and the model does not say that it is multi-label");
  }
  return ProblemType::kSingleLabel;
}

}  // namespace

LabelledData ReadLabelledData(const Model& model, const std::vector<std::filesystem::path>& paths,
                              DatasetOptions options) {
  if (model.info().labels.empty()) {
    Fail(ErrorCode::kInvalidArgument, "'", model.info().path.string(),
         "' is an encoder without a classification head; fit one with fit-head");
  }
  options.labels = model.info().labels;
  const bool is_stated = model.info().problem_is_stated;
  options.problem = is_stated ? model.info().problem : ProblemType::kMultiLabel;
  LabelledData labelled = {ReadDataset(paths, options), options.problem};  // once: standard input has no second pass
  if (!is_stated) {
    labelled.problem = ProblemOf(labelled.data);
  }
  return labelled;
}

Evaluation Evaluate(const Model& model, const LabelledData& data, const RunOptions& options) {
  const EncodedTexts texts = EncodeTexts(model, data.data, options);
  const auto compiled = CompiledModel::Compile(
      model, {.precision = options.precision, .pack_cache = options.pack_cache, .note = options.note});
  const std::vector<float> logits = ComputeOutputs(compiled, texts.encodings, options);
  return {ComputeMetrics(data.problem, compiled->output_width(), logits, data.data.targets),
          static_cast<std::int64_t>(data.data.texts.size()), texts.num_truncated};
}

}  // namespace laconic
