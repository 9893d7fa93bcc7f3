#include "models/bert_like.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "graph/model_io.h"
#include "laconic/error.h"

namespace laconic::models {
namespace {

// Sizes over this are not a model; it keeps products of two sizes far from overflow.
constexpr std::int64_t kMaxSize = std::int64_t{1} << 28;

void RefuseUnsupported(const nlohmann::json& config) {
  if (JsonValueOr<bool>(config, "is_decoder", false)) {
    Fail(ErrorCode::kUnsupported, "'is_decoder' is true; only encoders are supported");
  }
  const auto position_type = JsonValueOr<std::string>(config, "position_embedding_type", "absolute");
  if (position_type != "absolute") {
    Fail(ErrorCode::kUnsupported, "'position_embedding_type' is '", position_type, "'; only 'absolute' is supported");
  }
}

// The row of each token's type.
ValueId TokenTypes(const BertConfig& config, EncoderBuilder* builder) {
  constexpr const char* kTable = "embeddings.token_type_embeddings";
  if (!config.has_token_types) {
    return builder->FirstRow(kTable, config.type_vocab_size, config.embedding_size);
  }
  const ValueId type_ids = builder->AddIdsInput(kTokenTypeIds);
  return builder->Embedding(kTable, type_ids, config.type_vocab_size, config.embedding_size);
}

}  // namespace

std::int64_t PositiveSize(const nlohmann::json& config, const std::string& key) {
  const auto size = JsonValueOr<std::int64_t>(config, key, 0);
  if (size <= 0 || size > kMaxSize) {
    Fail(ErrorCode::kInvalidFile, "config.json: '", key, "': expected a size from 1 to ", kMaxSize, ", got ",
         config.contains(key) ? config[key].dump() : "nothing");
  }
  return size;
}

BertConfig ParseBertConfig(const nlohmann::json& config) {
  RefuseUnsupported(config);
  BertConfig parsed;
  parsed.vocab_size = PositiveSize(config, "vocab_size");
  parsed.hidden_size = PositiveSize(config, "hidden_size");
  parsed.embedding_size =
      config.contains("embedding_size") ? PositiveSize(config, "embedding_size") : parsed.hidden_size;
  parsed.num_layers = PositiveSize(config, "num_hidden_layers");
  parsed.num_heads = PositiveSize(config, "num_attention_heads");
  parsed.intermediate_size = PositiveSize(config, "intermediate_size");
  parsed.max_positions = PositiveSize(config, "max_position_embeddings");
  parsed.type_vocab_size = PositiveSize(config, "type_vocab_size");
  parsed.layer_norm_eps = static_cast<float>(JsonValueOr<double>(config, "layer_norm_eps", 1e-12));
  parsed.hidden_act = JsonValueOr<std::string>(config, "hidden_act", "gelu");
  if (parsed.hidden_size % parsed.num_heads != 0) {
    Fail(ErrorCode::kInvalidFile, "config.json: hidden_size ", parsed.hidden_size, " is not a multiple of ",
         parsed.num_heads, " heads");
  }
  return parsed;
}

std::string FindPrefix(const TensorMap& tensors, const std::string& name) {
  constexpr std::string_view kEmbeddings = "embeddings.word_embeddings.weight";
  for (const std::string& prefix : {name + ".", std::string()}) {
    if (tensors.contains(prefix + std::string(kEmbeddings))) {
      return prefix;
    }
  }
  Fail(ErrorCode::kInvalidFile, "the checkpoint lacks tensor '", name, ".", kEmbeddings, "'");
}

Embedded BuildBertEmbeddings(const BertConfig& config, EncoderBuilder* builder) {
  Graph& graph = builder->graph();
  const std::string stem = builder->prefix() + "embeddings";
  const ValueId ids = builder->AddIdsInput(kInputIds);
  const ValueId mask = builder->AddIdsInput(kAttentionMask);
  const ValueId types = TokenTypes(config, builder);
  const ValueId words = builder->Embedding("embeddings.word_embeddings", ids, config.vocab_size, config.embedding_size);
  const ValueId position_ids =
      graph.AddNode("laconic.Positions", stem + ".positions", {ids}, {{"offset", config.position_offset}});
  const ValueId positions =
      builder->Embedding("embeddings.position_embeddings", position_ids, config.max_positions, config.embedding_size);
  // In the order in which transformers adds them: float addition is not associative.
  const ValueId with_types = graph.AddNode("Add", stem + ".words_types", {words, types});
  const ValueId sum = graph.AddNode("Add", stem + ".sum", {with_types, positions});
  const ValueId hidden = builder->LayerNorm("embeddings.LayerNorm", sum, config.embedding_size, config.layer_norm_eps);
  return {hidden, mask, graph.AddNode("laconic.KeyMask", builder->prefix() + "key_mask", {mask})};
}

EncoderBuilder::LayerSizes SizesOf(const BertConfig& config) {
  return {config.hidden_size, config.intermediate_size, config.num_heads, config.layer_norm_eps, config.hidden_act};
}

Encoded BuildBertEncoder(const BertConfig& config, EncoderBuilder* builder) {
  const Embedded embedded = BuildBertEmbeddings(config, builder);
  ValueId hidden = embedded.hidden;
  if (config.embedding_size != config.hidden_size) {
    hidden = builder->Linear("embeddings_project", hidden, config.embedding_size, config.hidden_size);
  }
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    const std::string layer = "encoder.layer." + std::to_string(i);
    hidden = builder->Layer({.query = layer + ".attention.self.query",
                             .key = layer + ".attention.self.key",
                             .value = layer + ".attention.self.value",
                             .attention_output = layer + ".attention.output.dense",
                             .attention_norm = layer + ".attention.output.LayerNorm",
                             .intermediate = layer + ".intermediate.dense",
                             .output = layer + ".output.dense",
                             .output_norm = layer + ".output.LayerNorm"},
                            SizesOf(config), hidden, embedded.key_mask);
  }
  return {hidden, embedded.attention_mask};
}

ValueId BuildPooler(const std::string& dense, const std::string& output_name, ValueId hidden, EncoderBuilder* builder) {
  Graph& graph = builder->graph();
  const std::int64_t width = graph.value(hidden).type.shape.back().size;
  const ValueId first = builder->FirstToken(builder->prefix() + "pooler.first_token", hidden);
  return graph.AddNode("Tanh", output_name, {builder->Linear(dense, first, width, width)});
}

ValueId Pool(Pooling pooling, const Encoded& encoded, EncoderBuilder* builder) {
  if (pooling == Pooling::kMean) {
    return builder->graph().AddNode("laconic.MeanPool", std::string(kFeatures),
                                    {encoded.hidden, encoded.attention_mask});
  }
  return builder->FirstToken(std::string(kFeatures), encoded.hidden);
}

ValueId PoolBy(const std::string& dense, Pooling pooling, const Encoded& encoded, EncoderBuilder* builder) {
  if (pooling == Pooling::kArchitecture && builder->Has(dense + ".weight")) {
    return BuildPooler(dense, std::string(kFeatures), encoded.hidden, builder);
  }
  return Pool(pooling, encoded, builder);
}

}  // namespace laconic::models
