// What BERT and ELECTRA share: configuration, embeddings, layers, pooling.
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

struct Encoded {
  ValueId hidden = kNoValue;          // [batch, sequence, hidden]
  ValueId attention_mask = kNoValue;  // [batch, sequence]
};

// Inputs, embeddings and all layers.
Encoded BuildBertEncoder(const BertConfig& config, EncoderBuilder* builder);

// The features of an encoder without a head: the graph's output.
ValueId Pool(Pooling pooling, const Encoded& encoded, EncoderBuilder* builder);

}  // namespace laconic::models
