// What BERT, ELECTRA, RoBERTa and ALBERT share: configuration, embeddings, layers, pooling.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "models/encoder.h"
#include "models/models.h"

namespace laconic::models {

struct BertConfig {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t embedding_size = 0;  // ELECTRA may embed narrower than it computes
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t max_positions = 0;
  std::int64_t type_vocab_size = 0;
  std::int64_t position_offset = 0;  // row of the position table that belongs to a text's first token
  bool has_token_types = true;       // else all tokens are of type 0 and the graph has no input that says so
  float layer_norm_eps = 0;
  std::string hidden_act;
};

// Errors: kInvalidFile for a size that is missing or not positive; kUnsupported for decoders and relative positions.
BertConfig ParseBertConfig(const nlohmann::json& config);

// A positive integer of `config`. Errors: kInvalidFile.
std::int64_t PositiveSize(const nlohmann::json& config, const std::string& key);

// The prefix under which the encoder's tensors lie: `name` + "." or none. Errors: kInvalidFile if neither holds
// "embeddings.word_embeddings.weight".
std::string FindPrefix(const TensorMap& tensors, const std::string& name);

// Inputs and embeddings up to their LayerNorm.
struct Embedded {
  ValueId hidden = kNoValue;          // [batch, sequence, embedding]
  ValueId attention_mask = kNoValue;  // [batch, sequence]
  ValueId key_mask = kNoValue;        // for Attention
};
Embedded BuildBertEmbeddings(const BertConfig& config, EncoderBuilder* builder);

EncoderBuilder::LayerSizes SizesOf(const BertConfig& config);

struct Encoded {
  ValueId hidden = kNoValue;          // [batch, sequence, hidden]
  ValueId attention_mask = kNoValue;  // [batch, sequence]
};

// Inputs, embeddings and all layers.
Encoded BuildBertEncoder(const BertConfig& config, EncoderBuilder* builder);

// tanh(dense(first token)), called `output_name`; `dense` names the layer.
ValueId BuildPooler(const std::string& dense, const std::string& output_name, ValueId hidden, EncoderBuilder* builder);

// The features of an encoder without a head: the graph's output.
ValueId Pool(Pooling pooling, const Encoded& encoded, EncoderBuilder* builder);
// The same where the architecture's own pooling goes through the pooler `dense`, if the checkpoint has it.
ValueId PoolBy(const std::string& dense, Pooling pooling, const Encoded& encoded, EncoderBuilder* builder);

}  // namespace laconic::models
