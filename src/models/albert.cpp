// AlbertModel and AlbertForSequenceClassification: narrow embeddings, and layers that share their weights by groups.
// Source: transformers, models/albert/modeling_albert.py.

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "graph/model_io.h"
#include "laconic/error.h"
#include "models/bert_like.h"
#include "models/models.h"

namespace laconic::models {
namespace {

// How often, and with whose weights, the layers are computed.
struct Sharing {
  std::int64_t num_groups = 0;
  std::int64_t num_inner = 0;  // layers of a group
};

Sharing ParseSharing(const nlohmann::json& config, std::int64_t num_layers) {
  Sharing sharing;
  sharing.num_groups = config.contains("num_hidden_groups") ? PositiveSize(config, "num_hidden_groups") : 1;
  sharing.num_inner = config.contains("inner_group_num") ? PositiveSize(config, "inner_group_num") : 1;
  if (sharing.num_groups > num_layers) {
    Fail(ErrorCode::kInvalidFile, "config.json: ", sharing.num_groups, " groups for ", num_layers, " hidden layers");
  }
  // The checkpoint's size does not bound how often its layers are computed.
  constexpr std::int64_t kMaxLayers = 1000;
  if (num_layers > kMaxLayers || sharing.num_inner > kMaxLayers / num_layers) {
    Fail(ErrorCode::kUnsupported, "config.json: ", num_layers, " layers of ", sharing.num_inner,
         " inner ones; at most ", kMaxLayers, " in all");
  }
  return sharing;
}

BertConfig ParseConfig(const nlohmann::json& config) {
  BertConfig albert = ParseBertConfig(config);
  albert.embedding_size = PositiveSize(config, "embedding_size");
  albert.hidden_act = JsonValueOr<std::string>(config, "hidden_act", "gelu_new");
  return albert;
}

// The group of layer `i`, rounded as transformers does: in double, of a quotient.
std::int64_t GroupOf(std::int64_t i, std::int64_t num_layers, std::int64_t num_groups) {
  return static_cast<std::int64_t>(static_cast<double>(i) /
                                   (static_cast<double>(num_layers) / static_cast<double>(num_groups)));
}

Encoded BuildEncoder(const BertConfig& config, const Sharing& sharing, EncoderBuilder* builder) {
  const Embedded embedded = BuildBertEmbeddings(config, builder);
  ValueId hidden = builder->Linear("encoder.embedding_hidden_mapping_in", embedded.hidden, config.embedding_size,
                                   config.hidden_size);
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    const std::int64_t group = GroupOf(i, config.num_layers, sharing.num_groups);
    for (std::int64_t inner = 0; inner < sharing.num_inner; ++inner) {
      const std::string layer =
          "encoder.albert_layer_groups." + std::to_string(group) + ".albert_layers." + std::to_string(inner);
      builder->CallNodes(layer, "encoder.layer." + std::to_string(i * sharing.num_inner + inner));
      hidden = builder->Layer({.query = layer + ".attention.query",
                               .key = layer + ".attention.key",
                               .value = layer + ".attention.value",
                               .attention_output = layer + ".attention.dense",
                               .attention_norm = layer + ".attention.LayerNorm",
                               .intermediate = layer + ".ffn",
                               .output = layer + ".ffn_output",
                               .output_norm = layer + ".full_layer_layer_norm"},
                              SizesOf(config), hidden, embedded.key_mask);
    }
  }
  return {hidden, embedded.attention_mask};
}

}  // namespace

BuiltModel BuildAlbert(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options) {
  const BertConfig albert = ParseConfig(config);
  EncoderBuilder builder(tensors, FindPrefix(tensors, "albert"));
  const bool has_head = options.expect_head || tensors.contains("classifier.weight");
  const Encoded encoded = BuildEncoder(albert, ParseSharing(config, albert.num_layers), &builder);

  constexpr const char* kPooler = "pooler";
  ValueId output = kNoValue;
  if (has_head) {
    const ValueId pooled = BuildPooler(kPooler, builder.prefix() + "pooler_activation", encoded.hidden, &builder);
    output = builder.Head(kLogits, "classifier", pooled, albert.hidden_size, options.num_labels);
  } else {
    output = PoolBy(kPooler, options.pooling, encoded, &builder);
  }
  Graph& graph = builder.graph();
  graph.AddOutput(output);
  return {std::move(graph), has_head, albert.max_positions, builder.stored_bytes(), builder.UnusedTensors()};
}

}  // namespace laconic::models
