// Hugging Face architectures as graphs. One file each: <model_type>.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "graph/graph.h"
#include "tensor/tensor_map.h"

namespace laconic::models {

// How an encoder without a head becomes one row a text (sentence-transformers' 1_Pooling).
enum class Pooling : std::uint8_t {
  kArchitecture,  // as the architecture's own classifier would: BERT's pooler where there is one, else the first token
  kFirstToken,
  kMean,
};

struct BuildOptions {
  std::int64_t num_labels = 2;
  bool expect_head = false;  // config.json says "…ForSequenceClassification": a missing head is an error
  Pooling pooling = Pooling::kArchitecture;
};

struct BuiltModel {
  Graph graph;  // input_ids, attention_mask, token_type_ids? -> logits, or features without a head
  bool has_head = false;
  std::int64_t max_positions = 0;    // tokens that the position table allows
  std::int64_t stored_bytes = 0;     // of the tensors used, as the checkpoint keeps them
  std::vector<std::string> ignored;  // tensors of the checkpoint that the graph does not use
};

// `config` is config.json. Errors: kUnsupported naming an unknown model_type (and the known ones) or setting;
// kInvalidFile for tensors that are missing or of the wrong shape.
BuiltModel BuildModel(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options);

std::vector<std::string_view> KnownModelTypes();

// One a file.
BuiltModel BuildBert(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options);
BuiltModel BuildElectra(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options);
BuiltModel BuildDistilBert(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options);
BuiltModel BuildRoberta(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options);
BuiltModel BuildAlbert(const nlohmann::json& config, const TensorMap& tensors, const BuildOptions& options);

}  // namespace laconic::models
