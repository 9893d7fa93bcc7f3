// RobertaModel and RobertaForSequenceClassification, and the architectures that are the same under another name
// (XLM-RoBERTa, CamemBERT): BERT's encoder whose positions begin behind the padding token's, and a head of its own
// (dense, tanh, out_proj on the first token). Source: transformers, models/roberta/modeling_roberta.py.

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "graph/model_io.h"
#include "laconic/error.h"
#include "models/bert_like.h"
#include "models/models.h"

namespace laconic::models {
namespace {

BertConfig ParseConfig(const nlohmann::json& config) {
  BertConfig roberta = ParseBertConfig(config);
  // The position of a token is pad_token_id + the number of tokens up to it that are not padding.
  const auto padding = JsonValueOr<std::int64_t>(config, "pad_token_id", 1);
  if (padding < 0 || padding + 1 >= roberta.max_positions) {
    Fail(ErrorCode::kInvalidFile, "config.json: pad_token_id ", padding, " leaves no position of ",
         roberta.max_positions);
  }
  roberta.position_offset = padding + 1;
  // Tokenizers of this family give no token types; the library then takes the first row for all tokens.
  roberta.has_token_types = false;
  return roberta;
}

}  // namespace

BuiltModel BuildRoberta(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options) {
  const BertConfig roberta = ParseConfig(config);
  EncoderBuilder builder(tensors, FindPrefix(tensors, "roberta"));
  const bool has_head = options.expect_head || tensors.contains("classifier.out_proj.weight");
  const Encoded encoded = BuildBertEncoder(roberta, &builder);
  Graph& graph = builder.graph();

  ValueId output = kNoValue;
  if (has_head) {
    const ValueId first = builder.FirstToken("classifier.first_token", encoded.hidden);
    const ValueId dense =
        builder.Head("classifier.dense", "classifier.dense", first, roberta.hidden_size, roberta.hidden_size);
    const ValueId activated = graph.AddNode("Tanh", "classifier.activation", {dense});
    output = builder.Head(kLogits, "classifier.out_proj", activated, roberta.hidden_size, options.num_labels);
  } else {
    output = PoolBy("pooler.dense", options.pooling, encoded, &builder);
  }
  graph.AddOutput(output);
  return {std::move(graph), has_head, roberta.max_positions - roberta.position_offset, builder.stored_bytes(),
          builder.UnusedTensors()};
}

}  // namespace laconic::models
