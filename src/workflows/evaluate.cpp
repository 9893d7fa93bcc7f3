#include "laconic/evaluate.h"

#include <algorithm>
#include <optional>
#include <span>

#include "base/cancel.h"
#include "base/progress.h"
#include "data/record_reader.h"
#include "formats/hf/model_name.h"
#include "laconic/error.h"
#include "workflows/batches.h"

namespace laconic {

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
    Fail(ErrorCode::kInvalidFile, "row ", *unlabelled + 1, " has no label; expected one label for each text, as no ",
         "text has several and the model does not say that it is multi-label");
  }
  return ProblemType::kSingleLabel;
}

}  // namespace

LabelledData ReadLabelledData(const Model& model, const std::vector<std::filesystem::path>& paths,
                              DatasetOptions options) {
  CheckHasLabels(model);
  options.labels = model.info().labels;
  const bool is_stated = model.info().problem_is_stated;
  options.problem = is_stated ? model.info().problem : ProblemType::kMultiLabel;
  LabelledData labelled = {ReadDataset(paths, options), options.problem};  // once: standard input has no second pass
  if (!is_stated) {
    const char* counting = paths.size() > 1 ? ", whose rows are counted together" : "";
    labelled.problem =
        WithFrame([&] { return data::FilesOf(paths) + counting; }, [&] { return ProblemOf(labelled.data); });
  }
  return labelled;
}

Evaluation Evaluate(const Model& model, const LabelledData& data, const RunOptions& options) {
  const EncodedTexts texts = EncodeTexts(model, data.data, options);
  const auto compiled = CompiledModel::Compile(model, options.compile);
  const std::vector<float> logits = ComputeOutputs(compiled, texts.encodings, options);
  return {ComputeMetrics(data.problem, compiled->output_width(), logits, data.data.targets),
          static_cast<std::int64_t>(data.data.texts.size()), texts.num_truncated};
}

}  // namespace laconic
