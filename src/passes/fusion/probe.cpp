#include "passes/fusion/probe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <unordered_set>

#include "graph/model_io.h"
#include "interpreter/interpreter.h"
#include "laconic/error.h"

namespace laconic::passes::fusion {
namespace {

constexpr std::int64_t kLongLength = 300;                     // over the windows of local attention (128 and less)
constexpr std::size_t kMaxNodes = 1000;                       // of a mask: exporters need up to 100
constexpr std::int64_t kMaxConstantBytes = 1 << 20;           // a causal mask of 1024 x 1024 bools, position ids
constexpr std::int64_t kMaxValueBytes = 1 << 24;              // of a probe's values: a mask of s64 [1, 16, 300, 300]
constexpr std::int64_t kBudgetBytes = std::int64_t{1} << 31;  // computed in all, for hostile files; a model needs 2^27
constexpr std::int64_t kMaxFloats = 64;                       // a longer row of f32 constants is a weight
constexpr std::int64_t kSpecialIds = 110;                     // BERT's are up to 103
constexpr std::int64_t kNoPadding = -1;

bool HasWeights(std::string_view op) {
  constexpr std::array<std::string_view, 12> kOps = {
      "Attention",     "Gelu",          "Gemm",    "LayerNormalization",    "LogSoftmax",     "MatMul",
      "MatMulInteger", "QLinearMatMul", "Softmax", "laconic.Int8Attention", "laconic.Linear", "laconic.MeanPool"};
  return std::ranges::find(kOps, op) != kOps.end();
}

// Element `index` of a tensor of any type that a mask may have.
double At(const Tensor& tensor, std::int64_t index) {
  switch (tensor.dtype()) {
    case DType::kF32:
      return tensor.data_as<float>()[index];
    case DType::kF64:
      return tensor.data_as<double>()[index];
    case DType::kS64:
      return static_cast<double>(tensor.data_as<std::int64_t>()[index]);
    case DType::kS32:
      return tensor.data_as<std::int32_t>()[index];
    case DType::kBool:
      return tensor.data_as<bool>()[index] ? 1 : 0;
    default:
      return std::nan("");
  }
}

// Calls visit(indices of the broadcast shape, element) for each; false if a visit says no. Errors: kInvalidFile if it
// does not broadcast: a file that cuts a table to the length of a text makes a shorter one where the text is too long
// for it.
template <std::size_t rank, typename Visit>
bool ForEachBroadcast(const Tensor& tensor, const std::array<std::int64_t, rank>& shape, Visit&& visit) {
  const Tensor flat = tensor.Contiguous();
  const auto refuse = [&] { Fail(ErrorCode::kInvalidFile, "the shape ", ToString(flat.shape())); };
  if (flat.shape().size() > rank) refuse();
  std::array<std::int64_t, rank> strides{};
  std::int64_t stride = 1;
  for (std::size_t i = 0; i < flat.shape().size(); ++i) {
    const std::size_t axis = rank - 1 - i;
    const std::int64_t size = flat.shape()[flat.shape().size() - 1 - i];
    if (size != 1 && size != shape[axis]) refuse();
    strides[axis] = size == 1 ? 0 : stride;
    stride *= size;
  }
  std::array<std::int64_t, rank> index{};
  while (true) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < rank; ++i) {
      at += index[i] * strides[i];
    }
    if (!visit(index, At(flat, at))) return false;
    std::size_t axis = rank;
    while (axis > 0 && ++index[axis - 1] == shape[axis - 1]) {
      index[--axis] = 0;
    }
    if (axis == 0) return true;
  }
}

template <typename T>
Tensor MakeTyped(const Shape& shape, const std::vector<std::int64_t>& values) {
  const std::vector<T> typed(values.begin(), values.end());
  return Tensor::FromValues<T>(shape, typed);
}

std::optional<Tensor> MakeInput(DType dtype, const Shape& shape, const std::vector<std::int64_t>& values) {
  if (dtype == DType::kS64) return MakeTyped<std::int64_t>(shape, values);
  if (dtype == DType::kS32) return MakeTyped<std::int32_t>(shape, values);
  if (dtype == DType::kF32) return MakeTyped<float>(shape, values);
  return std::nullopt;
}

// Integers known from shapes are taken as known: the values whose shapes they are, perhaps of a whole encoder, are not
// needed.
bool IsKnown(const Facts& facts) { return facts.elements && std::ranges::all_of(*facts.elements, &Size::is_known); }

// What `value` is computed from.
std::vector<ValueId> SourcesOf(const Draft& draft, ValueId value) {
  const Node* node = draft.Producer(value);
  if (node == nullptr || IsKnown(draft.facts(value))) return {};
  std::vector<ValueId> sources = node->inputs;
  std::erase(sources, kNoValue);
  return sources;
}

// What a value is that no probe can do with; empty for one that it can.
std::string ObstacleAt(const Draft& draft, ValueId value) {
  const Node* node = draft.Producer(value);
  if (const Tensor* constant = draft.Constant(value)) {
    return constant->dtype() == DType::kF32 && constant->num_elements() > kMaxFloats ? "the weight" : "";
  }
  if (node == nullptr) return IsTokenInput(draft.name(value)) ? "" : "the input";
  return HasWeights(node->op) && !IsKnown(draft.facts(value)) ? node->op : "";
}

}  // namespace

// `padding`: an id that no real token has; -1: there is none.
std::vector<Prober::Batch> Prober::MakeBatches(MaskStyle style, std::int64_t padding) {
  std::mt19937 random(20240607);  // any seed; fixed, so that a file always fuses the same way
  // Each special id, which a file may treat in its own way, is some real token's: they lie below kSpecialIds.
  std::vector<std::int64_t> special(kSpecialIds);
  std::iota(special.begin(), special.end(), 0);
  std::erase(special, padding);
  std::ranges::shuffle(special, random);
  std::vector<Batch> batches;
  for (const auto& [size, length] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {1, 1}, {2, 3}, {3, 8}, {2, 17}, {5, 2}, {20, 16}, {1, 100}, {1, kLongLength}}) {
    Batch batch{size, length, {}, {}, {}, length < 100};
    for (std::int64_t text = 0; text < size; ++text) {
      const std::int64_t num_real = 1 + static_cast<std::int64_t>(random()) % length;
      for (std::int64_t i = 0; i < length; ++i) {
        const bool hole = style == MaskStyle::kHoles ? random() % 2 == 0 : i >= num_real;
        batch.mask.push_back(i == 0 || !hole ? 1 : 0);  // a text has a token
        batch.ids.push_back(kSpecialIds + static_cast<std::int64_t>(random() % 10000));
        if (batch.mask.back() == 1 && length > 1 && !special.empty() && random() % 4 != 0) {
          batch.ids.back() = special.back();
          special.pop_back();
        }
        batch.types.push_back(static_cast<std::int64_t>(random() % 2));
      }
    }
    batches.push_back(std::move(batch));
  }
  return batches;
}

// Collects what `value` is computed from.
bool Prober::IsWeightFree(ValueId value) {
  cone_.clear();
  std::unordered_set<ValueId> seen;
  std::vector<ValueId> pending = {value};
  std::int64_t constant_bytes = 0;
  while (!pending.empty()) {
    const ValueId id = pending.back();
    if (!seen.insert(id).second) {
      pending.pop_back();
      if (std::ranges::find(cone_, id) == cone_.end()) cone_.push_back(id);
      continue;
    }
    const Tensor* constant = draft_.Constant(id);
    constant_bytes += constant == nullptr ? 0 : constant->size_bytes();
    const std::vector<ValueId> sources = SourcesOf(draft_, id);
    std::string obstacle = ObstacleAt(draft_, id);
    if (constant_bytes > kMaxConstantBytes) obstacle = "the weight";
    if (!sources.empty() && seen.size() > kMaxNodes) obstacle = draft_.Producer(id)->op;
    if (!obstacle.empty()) {
      reason_ = "it depends on " + obstacle + " '" + draft_.name(id) + "'";
      return false;
    }
    std::ranges::copy_if(sources, std::back_inserter(pending), [&](ValueId source) { return !seen.contains(source); });
  }
  return true;
}

// What no node has to compute.
std::optional<Tensor> Prober::Given(ValueId value, const Batch& batch) const {
  if (const Tensor* constant = draft_.Constant(value)) return constant->Contiguous();
  const Facts& facts = draft_.facts(value);
  if (IsKnown(facts)) {
    const std::map<std::string, std::int64_t, std::less<>> named = {{"batch", batch.size}, {"sequence", batch.length}};
    const auto numbers = [&](const Sizes& sizes) {
      std::vector<std::int64_t> all;
      std::ranges::transform(sizes, std::back_inserter(all),
                             [&](const Size& size) { return size.Evaluate(named).value_or(-1); });
      return all;
    };
    return MakeInput(facts.dtype, numbers(facts.shape), numbers(*facts.elements));
  }
  const std::string& name = draft_.name(value);
  const auto& values = name == kInputIds ? batch.ids : name == kAttentionMask ? batch.mask : batch.types;
  return MakeInput(facts.dtype, {batch.size, batch.length}, values);
}

void Prober::Run(const Node& node, std::unordered_map<ValueId, Tensor>* tensors) {
  std::vector<const Tensor*> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(input == kNoValue ? nullptr : &tensors->at(input));
  }
  const std::int64_t max_bytes = std::min(kMaxValueBytes, kBudgetBytes - computed_bytes_);
  std::vector<Tensor> outputs = laconic::Evaluate(node, inputs, {.max_value_bytes = max_bytes});
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    computed_bytes_ += outputs[i].size_bytes();
    if (node.outputs[i] != kNoValue) (*tensors)[node.outputs[i]] = std::move(outputs[i]);
  }
}

std::optional<Tensor> Prober::Evaluate(ValueId value, const Batch& batch) {
  std::unordered_map<ValueId, Tensor> tensors;
  for (const ValueId id : cone_) {
    if (tensors.contains(id)) continue;  // another output of a node that ran
    const Node* node = draft_.Producer(id);
    if (node != nullptr && !IsKnown(draft_.facts(id))) {
      Run(*node, &tensors);
      continue;
    }
    std::optional<Tensor> given = Given(id, batch);
    if (!given) return std::nullopt;
    tensors[id] = std::move(*given);
  }
  return tensors.at(value);
}

template <typename Check>
bool Prober::HoldsOnAll(ValueId value, MaskStyle style, std::int64_t padding, Check&& check) {
  if (computed_bytes_ > kBudgetBytes) {
    reason_ = "the graph has too many values to probe";
    return false;
  }
  if (!IsWeightFree(value)) return false;
  for (const Batch& batch : MakeBatches(style, padding)) {
    bool holds = false;
    try {
      const std::optional<Tensor> tensor = Evaluate(value, batch);
      holds = tensor && check(*tensor, batch);
    } catch (const Error& error) {
      reason_ = std::string("it cannot be probed: ") + error.what();
      // Only where the file itself cannot run does a probe say nothing: one over our own limits might have failed.
      if (batch.is_short || error.code() == ErrorCode::kResource) return false;
      continue;
    }
    if (!holds) {
      reason_ = "probing with " + std::to_string(batch.size) + " texts of " + std::to_string(batch.length) +
                " tokens gave other values";
      return false;
    }
  }
  return true;
}

MaskKind Prober::FindMask(ValueId value) {
  const Facts& facts = draft_.facts(value);
  const auto holds = [&](auto&& element_is) {
    return HoldsOnAll(value, MaskStyle::kHoles, kNoPadding, [&](const Tensor& tensor, const Batch& batch) {
      const std::int64_t num_heads = tensor.shape().size() == 4 ? std::max<std::int64_t>(tensor.shape()[1], 1) : 1;
      const std::array<std::int64_t, 4> shape = {batch.size, num_heads, batch.length, batch.length};
      return ForEachBroadcast(tensor, shape, [&](const std::array<std::int64_t, 4>& at, double element) {
        return element_is(batch.mask[static_cast<std::size_t>(at[0] * batch.length + at[3])] != 0, element);
      });
    });
  };
  if (facts.dtype == DType::kBool) {
    if (holds([](bool real, double element) { return (element != 0) == real; })) return MaskKind::kKeep;
    return holds([](bool real, double element) { return (element != 0) != real; }) ? MaskKind::kDrop : MaskKind::kNone;
  }
  const bool additive = facts.dtype == DType::kF32 &&
                        holds([](bool real, double element) { return real ? element == 0 : element <= kMasked; });
  return additive ? MaskKind::kAdditive : MaskKind::kNone;
}

// Where a model counts its positions past padding (RoBERTa), that is id 1 or 0 in every vocabulary of our field.
std::optional<std::int64_t> Prober::FindPositions(ValueId value) {
  for (const std::int64_t padding : {1, 0}) {
    std::optional<double> offset;
    const bool holds =
        HoldsOnAll(value, MaskStyle::kRightPadding, padding, [&](const Tensor& tensor, const Batch& batch) {
          const std::array<std::int64_t, 2> shape = {batch.size, batch.length};
          return ForEachBroadcast(tensor, shape, [&](const std::array<std::int64_t, 2>& at, double element) {
            if (batch.mask[static_cast<std::size_t>(at[0] * batch.length + at[1])] == 0) return true;
            if (!offset) offset = element;
            return element == *offset + static_cast<double>(at[1]);
          });
        });
    if (holds) return *offset >= 0 ? std::optional(static_cast<std::int64_t>(*offset)) : std::nullopt;
  }
  return std::nullopt;
}

bool Prober::IsZero(ValueId value) {
  return HoldsOnAll(value, MaskStyle::kHoles, kNoPadding, [](const Tensor& tensor, const Batch& batch) {
    const std::array<std::int64_t, 2> shape = {batch.size, batch.length};
    return ForEachBroadcast(tensor, shape, [](const auto&, double element) { return element == 0; });
  });
}

bool Prober::IsTokenMask(ValueId value) {
  return HoldsOnAll(value, MaskStyle::kHoles, kNoPadding, [](const Tensor& tensor, const Batch& batch) {
    if (tensor.shape().size() != 3) return false;
    const std::array<std::int64_t, 3> shape = {batch.size, batch.length, std::max<std::int64_t>(tensor.shape()[2], 1)};
    return ForEachBroadcast(tensor, shape, [&](const std::array<std::int64_t, 3>& at, double element) {
      return element == static_cast<double>(batch.mask[static_cast<std::size_t>(at[0] * batch.length + at[1])]);
    });
  });
}

bool Prober::IsTokenCount(ValueId value) {
  return HoldsOnAll(value, MaskStyle::kHoles, kNoPadding, [](const Tensor& tensor, const Batch& batch) {
    if (tensor.shape().size() != 2) return false;
    const std::array<std::int64_t, 2> shape = {batch.size, std::max<std::int64_t>(tensor.shape()[1], 1)};
    return ForEachBroadcast(tensor, shape, [&](const std::array<std::int64_t, 2>& at, double element) {
      const auto begin = batch.mask.begin() + at[0] * batch.length;
      return element == static_cast<double>(std::count(begin, begin + batch.length, 1));
    });
  });
}

}  // namespace laconic::passes::fusion
