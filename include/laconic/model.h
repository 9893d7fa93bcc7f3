// A classifier (or an encoder that is to become one): what it computes, its tokenizer, its labels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "laconic/problem_type.h"
#include "laconic/tokenizer.h"

namespace laconic {

class Graph;  // src/graph/graph.h

struct ModelInfo {
  std::string model_type;           // "bert", …; empty for an ONNX file
  std::string method = "float";     // how it was compressed
  std::string recipe;               // a JSON object: the settings of that method, as laconic.json keeps them
  std::vector<std::string> labels;  // in the order of the logits; empty for an encoder without a head
  ProblemType problem = ProblemType::kSingleLabel;
  bool problem_is_stated = false;                   // config.json or laconic.json says it; else it is the default
  std::int64_t max_length = 0;                      // tokens: the smaller of model_max_length and the position table
  std::int64_t base_parameters = 0;                 // elements of all weights before any compression
  std::int64_t stored_bytes = 0;                    // of the tensors in the files: values, scales, zero points
  std::vector<std::string> ignored;                 // tensors of the checkpoint that are not used
  std::filesystem::path path;                       // where it was loaded from; empty for a model that was made since
  std::vector<std::filesystem::path> weight_files;  // it was loaded from: index and external data too
  std::filesystem::path home;  // where config.json and tokenizer files are; empty where there are none
};

// Immutable and cheap to copy; copies share the weights.
class Model {
 public:
  // Loads a Hugging Face directory or cache entry (config.json with model.safetensors or pytorch_model.bin, or else
  // model.onnx or onnx/model.onnx), an artifact directory that Save wrote, or an ONNX file, whose labels and tokenizer
  // come from the config.json and tokenizer files beside it, if any.
  // Errors: kNotFound, kInvalidFile, kUnsupported, kIo.
  static Model Load(const std::filesystem::path& path);

  Model(ModelInfo info, std::shared_ptr<const Graph> graph, std::optional<Tokenizer> tokenizer);

  // Writes an artifact directory: model.onnx and its data, tokenizer files, config.json, laconic.json.
  // With `force` it replaces an artifact, whole. Errors: kInvalidArgument if `directory` exists and is not to be
  // replaced; kIo; kResource. Nothing half-written stays.
  void Save(const std::filesystem::path& directory, bool force = false) const;

  const ModelInfo& info() const noexcept { return info_; }
  const Graph& graph() const noexcept { return *graph_; }
  const std::shared_ptr<const Graph>& shared_graph() const noexcept { return graph_; }
  bool has_tokenizer() const noexcept { return tokenizer_.has_value(); }
  const Tokenizer& tokenizer() const;  // Errors: kInvalidArgument if there is none

 private:
  ModelInfo info_;
  std::shared_ptr<const Graph> graph_;
  std::optional<Tokenizer> tokenizer_;
};

// Checks an artifact's files against the SHA-256 digests in its laconic.json. Errors: kInvalidFile naming the first
// file that differs or is missing.
void VerifyDigests(const std::filesystem::path& directory);

}  // namespace laconic
