// ElectraModel and ElectraForSequenceClassification: BERT's encoder, embeddings that may be narrower, and a head of its
// own (dense, GELU, out_proj on the first token). Source: transformers, models/electra/modeling_electra.py.

#include "graph/model_io.h"
#include "models/bert_like.h"
#include "models/models.h"

namespace laconic::models {

BuiltModel BuildElectra(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options) {
  const BertConfig electra = ParseBertConfig(config);
  EncoderBuilder builder(tensors, FindPrefix(tensors, "electra"));
  const bool has_head = options.expect_head || tensors.contains("classifier.out_proj.weight");
  const Encoded encoded = BuildBertEncoder(electra, &builder);
  Graph& graph = builder.graph();

  ValueId output = kNoValue;
  if (has_head) {
    const ValueId first = builder.FirstToken("classifier.first_token", encoded.hidden);
    const ValueId dense =
        builder.Head("classifier.dense", "classifier.dense", first, electra.hidden_size, electra.hidden_size);
    const ValueId activated = graph.AddNode("Gelu", "classifier.activation", {dense});
    output = builder.Head(kLogits, "classifier.out_proj", activated, electra.hidden_size, options.num_labels);
  } else {
    output = Pool(options.pooling, encoded, &builder);
  }
  graph.AddOutput(output);
  return {std::move(graph), has_head, electra.max_positions, builder.stored_bytes(), builder.UnusedTensors()};
}

}  // namespace laconic::models
