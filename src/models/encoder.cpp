#include "models/encoder.h"

#include <cmath>
#include <utility>

#include "graph/model_io.h"
#include "laconic/error.h"

namespace laconic::models {

EncoderBuilder::EncoderBuilder(const TensorMap& tensors, std::string prefix)
    : tensors_(tensors), prefix_(std::move(prefix)) {}

bool EncoderBuilder::Has(std::string_view name) const { return tensors_.contains(prefix_ + std::string(name)); }

ValueId EncoderBuilder::AddIdsInput(std::string_view name) {
  return graph_.AddInput(std::string(name), {DType::kS64, {"batch", "sequence"}});
}

Tensor EncoderBuilder::Take(const std::string& full, const Shape& shape) {
  auto found = tensors_.find(full);
  if (found == tensors_.end() && full.ends_with("LayerNorm.weight")) {
    // Checkpoints converted from TensorFlow call LayerNorm's weight and bias gamma and beta.
    found = tensors_.find(full.substr(0, full.size() - 6) + "gamma");
  } else if (found == tensors_.end() && full.ends_with("LayerNorm.bias")) {
    found = tensors_.find(full.substr(0, full.size() - 4) + "beta");
  }
  if (found == tensors_.end()) {
    Fail(ErrorCode::kInvalidFile, "the checkpoint lacks tensor '", full, "' ", ToString(shape));
  }
  if (found->second.shape() != shape) {
    Fail(ErrorCode::kInvalidFile, "tensor '", found->first, "': expected shape ", ToString(shape), ", got ",
         ToString(found->second.shape()));
  }
  if (used_.insert(found->first).second) {
    stored_bytes_ += found->second.size_bytes();
  }
  return WithFrame([&] { return "tensor '" + found->first + "'"; },
                   [&] {
                     Tensor converted = found->second.ToF32();
                     if (found->second.dtype() != DType::kF32) {
                       found->second.ReleasePages();
                     }
                     return converted;
                   });
}

void EncoderBuilder::CallNodes(std::string weights, std::string own) {
  shared_ = std::move(weights);
  own_ = std::move(own);
}

std::string EncoderBuilder::NodeName(const std::string& name) const {
  const bool shared = !shared_.empty() && name.starts_with(shared_);
  return FullName(shared ? own_ + name.substr(shared_.size()) : name);
}

ValueId EncoderBuilder::Parameter(const std::string& name, const Shape& shape) {
  const std::optional<ValueId> known = graph_.FindValue(name);
  return known ? *known : graph_.AddInitializer(name, Take(name, shape).Contiguous());
}

// PyTorch keeps [out, in]; the graph's Linear, as ONNX's MatMul, wants [in, out].
ValueId EncoderBuilder::Matrix(const std::string& name, std::int64_t in, std::int64_t out) {
  const std::optional<ValueId> known = graph_.FindValue(name);
  return known ? *known : graph_.AddInitializer(name, Take(name, {out, in}).Transposed());
}

ValueId EncoderBuilder::Embedding(const std::string& name, ValueId ids, std::int64_t rows, std::int64_t width) {
  const ValueId table = Parameter(FullName(name) + ".weight", {rows, width});
  return graph_.AddNode("Gather", FullName(name), {table, ids});
}

ValueId EncoderBuilder::FirstRow(const std::string& name, std::int64_t rows, std::int64_t width) {
  const std::string full = FullName(name) + ".weight";
  return graph_.AddInitializer(full, Take(full, {rows, width}).Contiguous().Slice(0, 1).Reshaped({width}));
}

ValueId EncoderBuilder::LayerNorm(const std::string& name, ValueId x, std::int64_t width, float epsilon) {
  const ValueId gamma = Parameter(FullName(name) + ".weight", {width});
  const ValueId beta = Parameter(FullName(name) + ".bias", {width});
  return graph_.AddNode("LayerNormalization", NodeName(name), {x, gamma, beta}, {{"epsilon", epsilon}});
}

ValueId EncoderBuilder::Head(std::string_view output_name, const std::string& name, ValueId x, std::int64_t in,
                             std::int64_t out) {
  const ValueId weight = Matrix(name + ".weight", in, out);
  const ValueId bias = Parameter(name + ".bias", {out});
  return graph_.AddNode("laconic.Linear", std::string(output_name), {x, weight, bias});
}

ValueId EncoderBuilder::Linear(const std::string& name, ValueId x, std::int64_t in, std::int64_t out) {
  return Head(NodeName(name), FullName(name), x, in, out);
}

ValueId EncoderBuilder::Activation(std::string_view hidden_act, const std::string& name, ValueId x) {
  const std::string full = NodeName(name);
  if (hidden_act == "gelu") {
    return graph_.AddNode("Gelu", full, {x});
  }
  if (hidden_act == "gelu_new" || hidden_act == "gelu_pytorch_tanh" || hidden_act == "gelu_fast") {
    return graph_.AddNode("Gelu", full, {x}, {{"approximate", std::string("tanh")}});
  }
  if (hidden_act == "relu") {
    return graph_.AddNode("Relu", full, {x});
  }
  Fail(ErrorCode::kUnsupported, "activation '", hidden_act,
       "'; known: gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu");
}

ValueId EncoderBuilder::Layer(const LayerNames& names, const LayerSizes& sizes, ValueId x, ValueId key_mask) {
  const std::int64_t hidden = sizes.hidden;
  const ValueId query = Linear(names.query, x, hidden, hidden);
  const ValueId key = Linear(names.key, x, hidden, hidden);
  const ValueId value = Linear(names.value, x, hidden, hidden);
  const std::string stem = NodeName(names.query.substr(0, names.query.rfind('.')));
  const std::int64_t head_dim = hidden / sizes.heads;
  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  const ValueId context =
      graph_.AddNode("Attention", stem + ".attention", {query, key, value, key_mask},
                     {{"q_num_heads", sizes.heads}, {"kv_num_heads", sizes.heads}, {"scale", scale}});
  const ValueId projected = Linear(names.attention_output, context, hidden, hidden);
  const ValueId attended = graph_.AddNode("Add", NodeName(names.attention_output) + ".residual", {projected, x});
  const ValueId normed = LayerNorm(names.attention_norm, attended, hidden, sizes.epsilon);
  const ValueId intermediate = Linear(names.intermediate, normed, hidden, sizes.intermediate);
  const ValueId activated = Activation(sizes.hidden_act, names.intermediate + ".activation", intermediate);
  const ValueId output = Linear(names.output, activated, sizes.intermediate, hidden);
  const ValueId sum = graph_.AddNode("Add", NodeName(names.output) + ".residual", {output, normed});
  return LayerNorm(names.output_norm, sum, hidden, sizes.epsilon);
}

ValueId EncoderBuilder::FirstToken(const std::string& name, ValueId x) {
  const ValueId zero =
      graph_.AddInitializer(name + ".index", Tensor::FromValues<std::int64_t>({}, std::vector<std::int64_t>{0}));
  return graph_.AddNode("Gather", name, {x, zero}, {{"axis", std::int64_t{1}}});
}

std::vector<std::string> EncoderBuilder::UnusedTensors() const {
  std::vector<std::string> unused;
  for (const auto& [name, tensor] : tensors_) {
    if (!used_.contains(name) && !name.ends_with("position_ids") && !name.ends_with(kTokenTypeIds)) {
      unused.push_back(name);
    }
  }
  return unused;
}

}  // namespace laconic::models
