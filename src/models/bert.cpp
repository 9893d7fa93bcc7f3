// BertModel and BertForSequenceClassification.
// Source: transformers, models/bert/modeling_bert.py.

#include "graph/model_io.h"
#include "models/bert_like.h"
#include "models/models.h"

namespace laconic::models {

BuiltModel BuildBert(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options) {
  const BertConfig bert = ParseBertConfig(config);
  EncoderBuilder builder(tensors, FindPrefix(tensors, "bert"));
  const bool has_head = options.expect_head || tensors.contains("classifier.weight");
  const Encoded encoded = BuildBertEncoder(bert, &builder);
  constexpr const char* kPooler = "pooler.dense";
  ValueId output = kNoValue;
  if (has_head) {
    const ValueId pooled = BuildPooler(kPooler, builder.prefix() + "pooler", encoded.hidden, &builder);
    output = builder.Head(kLogits, "classifier", pooled, bert.hidden_size, options.num_labels);
  } else {
    output = PoolBy(kPooler, options.pooling, encoded, &builder);
  }
  Graph& graph = builder.graph();
  graph.AddOutput(output);
  return {std::move(graph), has_head, bert.max_positions, builder.stored_bytes(), builder.UnusedTensors()};
}

}  // namespace laconic::models
