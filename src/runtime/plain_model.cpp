#include "runtime/plain_model.h"

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "graph/model_io.h"
#include "laconic/error.h"

namespace laconic::runtime {
namespace {

constexpr std::int64_t kMaxFoldedBytes = std::int64_t{1} << 30;
constexpr std::int64_t kMaxValueBytes = std::int64_t{1} << 32;  // of an answer: 32 heads' scores of 5,792 tokens
constexpr std::int64_t kProbeLength = 4;
constexpr std::int64_t kMaxFixedLength = 1 << 16;  // of input_ids: a file must not dictate how much is allocated

Tensor ToTensor(DType dtype, const std::vector<std::int64_t>& values) {
  const Shape shape = {1, static_cast<std::int64_t>(values.size())};
  if (dtype == DType::kS64) {
    return Tensor::FromValues<std::int64_t>(shape, values);
  }
  const std::vector<std::int32_t> narrow(values.begin(), values.end());
  return Tensor::FromValues<std::int32_t>(shape, narrow);
}

bool IsAnswer(const Tensor& tensor) {
  return tensor.dtype() == DType::kF32 && tensor.shape().size() == 2 && tensor.shape()[0] == 1;
}

}  // namespace

PlainModel::PlainModel(Graph graph, std::string reason, std::span<const std::string> taps, TapSink* sink)
    : graph_(std::move(graph)), reason_(std::move(reason)), sink_(sink) {
  std::ranges::transform(taps, std::back_inserter(taps_), [&](const auto& name) { return *graph_.FindValue(name); });
  CheckInputs();
  Fold();
  FindNumIds();
  ChooseOutput();
}

void PlainModel::CheckInputs() const {
  bool has_ids = false;
  for (const ValueId input : graph_.inputs()) {
    const Value& value = graph_.value(input);
    has_ids = has_ids || value.name == kInputIds;
    const bool is_integer = value.type.dtype == DType::kS64 || value.type.dtype == DType::kS32;
    if (!IsTokenInput(value.name) || !is_integer || (value.type.has_shape && value.type.shape.size() != 2)) {
      Fail(ErrorCode::kUnsupported, "input '", value.name, "' of type ", ToString(value.type), "; expected ", kInputIds,
           ", ", kAttentionMask, " or ", kTokenTypeIds, " of s64 or s32 [batch, sequence]");
    }
  }
  if (!has_ids) {
    Fail(ErrorCode::kUnsupported, "the graph has no input '", kInputIds, "'");
  }
}

// Keeps what constants alone give and something else reads. A weight's codes stay as they are where a laconic.Linear
// reads them: it computes with the integers.
void PlainModel::Fold() {
  std::set<ValueId> constant;
  std::set<ValueId> wanted;
  const auto is_constant = [&](ValueId id) {
    return id == kNoValue || constant.contains(id) || graph_.FindInitializer(id) != nullptr;
  };
  for (const Node& node : graph_.nodes()) {
    if (std::ranges::all_of(node.inputs, is_constant)) {
      constant.insert(node.outputs.begin(), node.outputs.end());
      continue;
    }
    for (const ValueId input : node.inputs) {
      const Node* producer = input == kNoValue ? nullptr : graph_.FindProducer(input);
      const bool are_codes = producer != nullptr && producer->op == "DequantizeLinear" && node.op == "laconic.Linear";
      if (producer != nullptr && constant.contains(input) && !are_codes) {
        wanted.insert(input);
      }
    }
  }
  const std::vector<ValueId> values(wanted.begin(), wanted.end());
  std::vector<Tensor> tensors = Interpret(graph_, {}, values, {.max_value_bytes = kMaxFoldedBytes});
  for (std::size_t i = 0; i < values.size(); ++i) {
    folded_[values[i]] = std::move(tensors[i]);
  }
}

void PlainModel::FindNumIds() {
  const ValueId ids = *graph_.FindValue(kInputIds);
  for (const Node& node : graph_.nodes()) {
    if (node.op != "Gather" || node.inputs[1] != ids || IntAttribute(node, "axis") != 0) {
      continue;
    }
    const ValueType& table = graph_.value(node.inputs[0]).type;
    if (table.has_shape && !table.shape.empty() && table.shape[0].is_fixed()) {
      num_ids_ = num_ids_ == 0 ? table.shape[0].size : std::min(num_ids_, table.shape[0].size);
    }
  }
}

void PlainModel::ChooseOutput() {
  const ValueType& ids = graph_.value(*graph_.FindValue(kInputIds)).type;
  const bool is_fixed = ids.shape.size() == 2 && ids.shape[1].is_fixed();
  if (is_fixed && ids.shape[1].size > kMaxFixedLength) {
    Fail(ErrorCode::kUnsupported, "input '", kInputIds, "' of ", ids.shape[1].size, " tokens; expected at most ",
         kMaxFixedLength);
  }
  Encoding probe;
  probe.ids.resize(static_cast<std::size_t>(is_fixed ? ids.shape[1].size : kProbeLength));
  std::map<ValueId, Tensor> inputs = MakeInputs(probe);
  const std::optional<ValueId> logits = graph_.FindValue(kLogits);
  std::vector<ValueId> outputs = graph_.outputs();
  if (logits && std::ranges::find(outputs, *logits) != outputs.end()) {
    outputs = {*logits};
  }
  const std::vector<Tensor> results = Interpret(graph_, inputs, outputs, {.max_value_bytes = kMaxValueBytes});
  for (std::size_t i = 0; i < outputs.size() && output_ == kNoValue; ++i) {
    if (IsAnswer(results[i])) {
      output_ = outputs[i];
      output_width_ = results[i].shape()[1];
    }
  }
  if (output_ == kNoValue) {
    std::string got;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      got += fmt::format("{}'{}' of type {}{}", i == 0 ? "" : ", ", graph_.value(outputs[i]).name,
                         ToString(results[i].dtype()), ToString(results[i].shape()));
    }
    Fail(ErrorCode::kUnsupported, "no output is f32 [batch, labels]; for one text there is ", got);
  }
}

std::map<ValueId, Tensor> PlainModel::MakeInputs(const Encoding& encoding) const {
  std::map<ValueId, Tensor> inputs = folded_;
  for (const ValueId id : graph_.inputs()) {
    const Value& value = graph_.value(id);
    std::vector<std::int64_t> values(encoding.ids.size(), value.name == kAttentionMask ? 1 : 0);
    if (value.name == kInputIds) {
      values.assign(encoding.ids.begin(), encoding.ids.end());
    } else if (value.name == kTokenTypeIds && !encoding.type_ids.empty()) {
      values.assign(encoding.type_ids.begin(), encoding.type_ids.end());
    }
    inputs[id] = ToTensor(value.type.dtype, values);
  }
  return inputs;
}

void PlainModel::HandOver(std::size_t tap, const Tensor& rows, std::int64_t text, std::int64_t first_token,
                          std::int64_t num_tokens) const {
  const Shape& shape = rows.shape();
  const ValueType& type = graph_.value(taps_[tap]).type;
  const bool of_tokens = shape.size() == 3;
  if (rows.dtype() != DType::kF32 || (of_tokens ? shape[1] != num_tokens : shape.size() != 2) || shape[0] != 1 ||
      shape.back() != type.shape.back().size) {
    Fail(ErrorCode::kUnsupported, "'", graph_.value(taps_[tap]).name, "' cannot be tapped: of one text of ", num_tokens,
         " tokens it is ", ToString(rows.dtype()), ToString(shape));
  }
  sink_->TakeRows({.value = tap,
                   .rows = of_tokens ? Rows::kTokens : Rows::kTexts,
                   .first_row = of_tokens ? first_token : text,
                   .num_rows = of_tokens ? num_tokens : 1,
                   .width = shape.back(),
                   .data = rows.data_as<float>(),
                   .stride = shape.back()});
}

std::vector<float> PlainModel::RunOne(const Encoding& encoding, std::int64_t text, std::int64_t first_token) const {
  std::vector<ValueId> wanted = {output_};
  wanted.insert(wanted.end(), taps_.begin(), taps_.end());
  const std::vector<Tensor> results =
      Interpret(graph_, MakeInputs(encoding), wanted, {.max_value_bytes = kMaxValueBytes});
  const Tensor answer = results[0].Contiguous();
  if (!IsAnswer(answer) || answer.shape()[1] != output_width_) {
    Fail(ErrorCode::kUnsupported, "output '", graph_.value(output_).name, "': expected f32[1, ", output_width_,
         "], as for a text of zeros, got ", ToString(answer.dtype()), ToString(answer.shape()));
  }
  for (std::size_t tap = 0; tap < taps_.size(); ++tap) {
    HandOver(tap, results[tap + 1].Contiguous(), text, first_token, static_cast<std::int64_t>(encoding.ids.size()));
  }
  return {answer.values<float>().begin(), answer.values<float>().end()};
}

std::vector<float> PlainModel::Run(std::span<const Encoding> batch, ThreadPool* pool) const {
  std::vector<std::int64_t> starts = {0};
  for (const Encoding& text : batch) {
    starts.push_back(starts.back() + static_cast<std::int64_t>(text.ids.size()));
  }
  if (sink_ != nullptr) {
    sink_->BeginBatch({starts});
  }
  std::vector<std::vector<float>> rows(batch.size());
  std::vector<std::exception_ptr> errors(batch.size());
  pool->Run(static_cast<std::int64_t>(batch.size()), [&](std::int64_t task, int) {
    const auto text = static_cast<std::size_t>(task);
    try {
      rows[text] = WithFrame([&] { return fmt::format("text {} of the batch", text); },
                             [&] { return RunOne(batch[text], task, starts[text]); });
    } catch (...) {
      errors[text] = std::current_exception();
    }
  });
  std::vector<float> output;
  for (std::size_t text = 0; text < batch.size(); ++text) {
    if (errors[text]) {
      std::rethrow_exception(errors[text]);
    }
    output.insert(output.end(), rows[text].begin(), rows[text].end());
  }
  if (sink_ != nullptr) {
    sink_->EndBatch();
  }
  return output;
}

std::int64_t PlainModel::memory_bytes() const noexcept {
  std::int64_t bytes = 0;
  for (const std::map<ValueId, Tensor>* tensors : {&graph_.initializers(), &folded_}) {
    for (const auto& [id, tensor] : *tensors) {
      bytes += tensor.size_bytes();
    }
  }
  return bytes;
}

std::string PlainModel::Describe() const {
  return fmt::format(
      "no plan: {}\nThe interpreter runs all {} nodes, op by op, one text at a time; answers are '{}' [{} a text].\n",
      reason_, graph_.nodes().size(), graph_.value(output_).name, output_width_);
}

}  // namespace laconic::runtime
