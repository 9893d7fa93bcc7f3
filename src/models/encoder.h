// What the architectures have in common: a checkpoint's tensors become a graph of post-LayerNorm encoder layers.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "tensor/tensor_map.h"

namespace laconic::models {

// Where the checkpoint keeps the parts of one encoder layer, and the names that they have there.
struct LayerNames {
  std::string query, key, value, attention_output, attention_norm, intermediate, output, output_norm;
};

// Writes layers into a graph and remembers which tensors it took.
class EncoderBuilder {
 public:
  // `prefix` is put before every tensor's name, e.g. "bert.".
  EncoderBuilder(const TensorMap& tensors, std::string prefix);

  Graph& graph() noexcept { return graph_; }
  const std::string& prefix() const noexcept { return prefix_; }
  bool Has(std::string_view name) const;  // `name` as in the checkpoint, with the prefix put before it

  ValueId AddIdsInput(std::string_view name);

  // From now on a node of a layer under `weights` is called as if the layer lay under `own`: for layers that share
  // their weights, which are one initializer each however often they are asked for.
  void CallNodes(std::string weights, std::string own);

  // Names are given as in the checkpoint, without the prefix and without ".weight" or ".bias". Errors: kInvalidFile for
  // a tensor that is missing or of another shape, naming it, the shape expected and the shape met.
  ValueId Embedding(const std::string& name, ValueId ids, std::int64_t rows, std::int64_t width);
  // The first of the table's `rows`, for tokens that are all of one type: [width].
  ValueId FirstRow(const std::string& name, std::int64_t rows, std::int64_t width);
  ValueId LayerNorm(const std::string& name, ValueId x, std::int64_t width, float epsilon);
  ValueId Linear(const std::string& name, ValueId x, std::int64_t in, std::int64_t out);
  // A layer that lies outside the encoder (no prefix); its output is called `output_name`.
  ValueId Head(std::string_view output_name, const std::string& name, ValueId x, std::int64_t in, std::int64_t out);
  ValueId Activation(std::string_view hidden_act, const std::string& name, ValueId x);

  // One layer: attention, output projection, LayerNorm over the residual, feed-forward, LayerNorm over the residual.
  struct LayerSizes {
    std::int64_t hidden = 0;
    std::int64_t intermediate = 0;
    std::int64_t heads = 0;
    float epsilon = 0;
    std::string hidden_act;
  };
  ValueId Layer(const LayerNames& names, const LayerSizes& sizes, ValueId x, ValueId key_mask);

  // The first token's row of `x` [batch, sequence, hidden].
  ValueId FirstToken(const std::string& name, ValueId x);

  // Bytes of the tensors taken, as the checkpoint keeps them.
  std::int64_t stored_bytes() const noexcept { return stored_bytes_; }

  // Tensors of the checkpoint that nothing asked for, but for buffers that are not weights.
  std::vector<std::string> UnusedTensors() const;

 private:
  std::string FullName(const std::string& name) const { return prefix_ + name; }
  std::string NodeName(const std::string& name) const;
  // These take whole names.
  Tensor Take(const std::string& full, const Shape& shape);
  ValueId Parameter(const std::string& name, const Shape& shape);
  ValueId Matrix(const std::string& name, std::int64_t in, std::int64_t out);

  const TensorMap& tensors_;
  std::string prefix_;
  std::string shared_;  // where the weights lie that CallNodes named
  std::string own_;     // and what their nodes are called
  Graph graph_;
  std::set<std::string, std::less<>> used_;
  std::int64_t stored_bytes_ = 0;
};

}  // namespace laconic::models
