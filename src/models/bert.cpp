// BertModel and BertForSequenceClassification.
// Source: transformers, models/bert/modeling_bert.py.

#include "models/bert_like.h"
#include "models/models.h"

namespace laconic::models {

BuiltModel BuildBert(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options) {
  const BertConfig bert = ParseBertConfig(config);
  EncoderBuilder builder(tensors, FindPrefix(tensors, "bert"));
  const bool has_head = options.expect_head || tensors.contains("classifier.weight");
  const Encoded encoded = BuildBertEncoder(bert, &builder);
  Graph& graph = builder.graph();

  const bool use_pooler = has_head || (options.pooling == Pooling::kArchitecture && builder.Has("pooler.dense.weight"));
  ValueId output = kNoValue;
  if (use_pooler) {
    const ValueId first = builder.FirstToken(builder.prefix() + "pooler.first_token", encoded.hidden);
    const ValueId dense = builder.Linear("pooler.dense", first, bert.hidden_size, bert.hidden_size);
    output = graph.AddNode("Tanh", has_head ? builder.prefix() + "pooler" : std::string(kFeatures), {dense});
  } else {
    output = Pool(options.pooling, encoded, &builder);
  }
  if (has_head) {
    output = builder.Head(kLogits, "classifier", output, bert.hidden_size, options.num_labels);
  }
  graph.AddOutput(output);
  return {std::move(graph), has_head, bert.max_positions, builder.stored_bytes(), builder.UnusedTensors()};
}

}  // namespace laconic::models
