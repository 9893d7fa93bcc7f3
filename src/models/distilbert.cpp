// DistilBertModel and DistilBertForSequenceClassification: no token types, no pooler, and a head of its own
// (pre_classifier, ReLU, classifier on the first token).
// Source: transformers, models/distilbert/modeling_distilbert.py.

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "graph/model_io.h"
#include "laconic/error.h"
#include "models/bert_like.h"
#include "models/models.h"

namespace laconic::models {
namespace {

constexpr float kLayerNormEpsilon = 1e-12F;  // fixed in the architecture

Encoded BuildEncoder(const nlohmann::json& config, std::int64_t hidden_size, EncoderBuilder* builder) {
  Graph& graph = builder->graph();
  const ValueId ids = builder->AddIdsInput(kInputIds);
  const ValueId mask = builder->AddIdsInput(kAttentionMask);
  const std::string stem = builder->prefix() + "embeddings";
  const ValueId words =
      builder->Embedding("embeddings.word_embeddings", ids, PositiveSize(config, "vocab_size"), hidden_size);
  const ValueId position_ids = graph.AddNode("laconic.Positions", stem + ".positions", {ids});
  const ValueId positions = builder->Embedding("embeddings.position_embeddings", position_ids,
                                               PositiveSize(config, "max_position_embeddings"), hidden_size);
  const ValueId sum = graph.AddNode("Add", stem + ".sum", {words, positions});
  ValueId hidden = builder->LayerNorm("embeddings.LayerNorm", sum, hidden_size, kLayerNormEpsilon);
  const ValueId key_mask = graph.AddNode("laconic.KeyMask", builder->prefix() + "key_mask", {mask});

  const EncoderBuilder::LayerSizes sizes = {hidden_size, PositiveSize(config, "hidden_dim"),
                                            PositiveSize(config, "n_heads"), kLayerNormEpsilon,
                                            JsonValueOr<std::string>(config, "activation", "gelu")};
  if (hidden_size % sizes.heads != 0) {
    Fail(ErrorCode::kInvalidFile, "config.json: dim ", hidden_size, " is not a multiple of ", sizes.heads, " heads");
  }
  const std::int64_t num_layers = PositiveSize(config, "n_layers");
  for (std::int64_t i = 0; i < num_layers; ++i) {
    const std::string layer = "transformer.layer." + std::to_string(i);
    hidden = builder->Layer({.query = layer + ".attention.q_lin",
                             .key = layer + ".attention.k_lin",
                             .value = layer + ".attention.v_lin",
                             .attention_output = layer + ".attention.out_lin",
                             .attention_norm = layer + ".sa_layer_norm",
                             .intermediate = layer + ".ffn.lin1",
                             .output = layer + ".ffn.lin2",
                             .output_norm = layer + ".output_layer_norm"},
                            sizes, hidden, key_mask);
  }
  return {hidden, mask};
}

}  // namespace

BuiltModel BuildDistilBert(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options) {
  EncoderBuilder builder(tensors, FindPrefix(tensors, "distilbert"));
  const bool has_head = options.expect_head || tensors.contains("pre_classifier.weight");
  const std::int64_t hidden_size = PositiveSize(config, "dim");
  const Encoded encoded = BuildEncoder(config, hidden_size, &builder);
  Graph& graph = builder.graph();

  ValueId output = kNoValue;
  if (has_head) {
    const ValueId first = builder.FirstToken("pre_classifier.first_token", encoded.hidden);
    const ValueId dense = builder.Head("pre_classifier", "pre_classifier", first, hidden_size, hidden_size);
    const ValueId activated = graph.AddNode("Relu", "pre_classifier.activation", {dense});
    output = builder.Head(kLogits, "classifier", activated, hidden_size, options.num_labels);
  } else {
    output = Pool(options.pooling, encoded, &builder);
  }
  graph.AddOutput(output);
  return {std::move(graph), has_head, PositiveSize(config, "max_position_embeddings"), builder.stored_bytes(),
          builder.UnusedTensors()};
}

}  // namespace laconic::models
