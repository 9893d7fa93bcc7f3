#include "interpreter/interpreter.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/cancel.h"
#include "interpreter/matrix_ops.h"
#include "interpreter/quantize_ops.h"

namespace laconic {
namespace {

using interpreter::OpCall;
using interpreter::QuantizedRows;

// A node, or a laconic.Linear together with what dequantizes its inputs.
struct Step {
  const Node* node = nullptr;
  const Node* x_source = nullptr;  // laconic.DynamicQuantize, or a DequantizeLinear with one scale
  const Node* w_source = nullptr;  // a DequantizeLinear of 8 bits; null for a plain node

  std::vector<ValueId> Inputs() const {
    std::vector<ValueId> inputs;
    const auto append = [&](const std::vector<ValueId>& more) {
      inputs.insert(inputs.end(), more.begin(), more.end());
    };
    if (w_source == nullptr) {
      append(node->inputs);
    } else {
      append(x_source->inputs);
      append(w_source->inputs);
      inputs.insert(inputs.end(), node->inputs.begin() + 2, node->inputs.end());
    }
    std::erase(inputs, kNoValue);
    return inputs;
  }
};

class Run {
 public:
  Run(const Graph& graph, const std::map<ValueId, Tensor>& inputs, const InterpreterOptions& options)
      : graph_(graph), options_(options) {
    for (const auto& [id, tensor] : inputs) {
      CheckInput(graph.value(id), tensor);
      values_[id] = tensor;
      given_.insert(id);
    }
  }

  std::vector<Tensor> Compute(std::span<const ValueId> wanted) {
    const std::vector<Step> steps = MakeSteps(wanted);
    for (const Step& step : steps) {
      for (const ValueId input : step.Inputs()) {
        ++uses_[input];
      }
    }
    for (const ValueId id : wanted) {
      ++uses_[id];
    }
    for (const Step& step : steps) {
      ThrowIfCancelled();
      WithFrame([&] { return "node '" + graph_.name(*step.node) + "' (" + step.node->op + ")"; }, [&] { Do(step); });
    }
    std::vector<Tensor> results;
    std::ranges::transform(wanted, std::back_inserter(results), [&](ValueId id) { return *Get(id); });
    return results;
  }

 private:
  static void CheckInput(const Value& value, const Tensor& tensor) {
    const ValueType& type = value.type;
    bool fits = type.dtype == tensor.dtype() && (!type.has_shape || type.shape.size() == tensor.shape().size());
    for (std::size_t i = 0; fits && i < type.shape.size(); ++i) {
      fits = !type.shape[i].is_fixed() || type.shape[i].size == tensor.shape()[i];
    }
    if (!fits) {
      Fail(ErrorCode::kInvalidArgument, "'", value.name, "': expected ", ToString(type), ", got ",
           ToString(tensor.dtype()), ToString(tensor.shape()));
    }
  }

  const Tensor* Get(ValueId id) const {
    const auto found = values_.find(id);
    const Tensor* tensor = found == values_.end() ? graph_.FindInitializer(id) : &found->second;
    if (tensor == nullptr) {
      Fail(ErrorCode::kInvalidArgument, "no input '", graph_.value(id).name, "' is given");
    }
    return tensor;
  }

  std::vector<const Tensor*> GetAll(const std::vector<ValueId>& ids) const {
    std::vector<const Tensor*> tensors;
    std::ranges::transform(ids, std::back_inserter(tensors),
                           [&](ValueId id) { return id == kNoValue ? nullptr : Get(id); });
    return tensors;
  }

  const Node* Producer(ValueId id) const { return given_.contains(id) ? nullptr : graph_.FindProducer(id); }

  Step MakeStep(const Node& node) const {
    Step step{&node};
    if (node.op != "laconic.Linear") {
      return step;
    }
    const Node* x = Producer(node.inputs[0]);
    const Node* w = Producer(node.inputs[1]);
    const auto is_8_bit = [&](const Node* source) {
      const bool dequantizes = source != nullptr && source->op == "DequantizeLinear";
      const DType dtype = dequantizes ? graph_.value(source->inputs[0]).type.dtype : DType::kF32;
      return (dtype == DType::kU8 || dtype == DType::kS8) && IntAttribute(*source, "block_size") == 0;
    };
    const auto has_one_scale = [&](const Node* source) {
      return graph_.value(source->inputs[1]).type == ValueType{DType::kF32, {}};
    };
    const bool x_fits = x != nullptr && (x->op == "laconic.DynamicQuantize" || (is_8_bit(x) && has_one_scale(x)));
    const bool w_fits =
        is_8_bit(w) && (has_one_scale(w) || IntAttribute(*w, "axis") == 1 || IntAttribute(*w, "axis") == -1);
    if (x_fits && w_fits) {
      step.x_source = x;
      step.w_source = w;
    }
    return step;
  }

  // The nodes that the wanted values need, in the graph's order.
  std::vector<Step> MakeSteps(std::span<const ValueId> wanted) const {
    std::vector<Step> steps;
    std::unordered_set<const Node*> seen;
    std::vector<ValueId> open(wanted.begin(), wanted.end());
    while (!open.empty()) {
      const Node* node = Producer(open.back());
      open.pop_back();
      if (node != nullptr && seen.insert(node).second) {
        steps.push_back(MakeStep(*node));
        const std::vector<ValueId> inputs = steps.back().Inputs();
        open.insert(open.end(), inputs.begin(), inputs.end());
      }
    }
    std::ranges::sort(steps, {}, &Step::node);
    return steps;
  }

  void Do(const Step& step) {
    std::vector<Tensor> results = step.w_source == nullptr ? Evaluate(*step.node, GetAll(step.node->inputs), options_)
                                                           : std::vector<Tensor>{ComputeIntegerLinear(step)};
    for (std::size_t i = 0; i < results.size(); ++i) {
      const ValueId id = step.node->outputs[i];
      if (id != kNoValue && uses_.contains(id) && !given_.contains(id)) {
        values_[id] = std::move(results[i]);
      }
    }
    for (const ValueId input : step.Inputs()) {
      if (--uses_[input] == 0) {
        values_.erase(input);
      }
    }
  }

  // Codes less their zero point.
  Tensor Integers(const OpCall& call, const Node& source) const {
    const std::vector<const Tensor*> inputs = GetAll(source.inputs);
    const Tensor codes = Convert(call, inputs[0]->Contiguous(), DType::kS32);
    if (inputs.size() < 3 || inputs[2] == nullptr) {
      return codes;
    }
    if (inputs[2]->shape() != inputs[1]->shape()) {
      Fail(ErrorCode::kInvalidFile, "zero point: expected the scale's shape ", ToString(inputs[1]->shape()), ", got ",
           ToString(inputs[2]->shape()));
    }
    using S32 = std::int32_t;
    return interpreter::Zip<S32, S32, S32>(call, codes, Convert(call, *inputs[2], DType::kS32),
                                           [](S32 q, S32 zero_point) { return q - zero_point; });
  }

  Tensor ComputeIntegerLinear(const Step& step) const {
    const OpCall call(*step.x_source, {}, options_.max_value_bytes);
    const std::vector<const Tensor*> source = GetAll(step.x_source->inputs);
    const bool is_dynamic = step.x_source->op == "laconic.DynamicQuantize";
    const QuantizedRows x = is_dynamic ? interpreter::QuantizeDynamically(call, source[0]->Contiguous())
                                       : QuantizedRows{Integers(call, *step.x_source), *source[1]};
    const Tensor w_scale = Get(step.w_source->inputs[1])->Contiguous();
    const bool has_bias = step.node->inputs.size() > 2 && step.node->inputs[2] != kNoValue;
    const Tensor bias = has_bias ? Get(step.node->inputs[2])->Contiguous() : Tensor();
    return IntegerLinear(call, x.codes, x.scales, Integers(call, *step.w_source), w_scale, has_bias ? &bias : nullptr);
  }

  const Graph& graph_;
  const InterpreterOptions& options_;
  std::unordered_map<ValueId, Tensor> values_;
  std::unordered_map<ValueId, std::int64_t> uses_;
  std::unordered_set<ValueId> given_;
};

}  // namespace

std::vector<Tensor> Interpret(const Graph& graph, const std::map<ValueId, Tensor>& inputs,
                              std::span<const ValueId> wanted, const InterpreterOptions& options) {
  return Run(graph, inputs, options).Compute(wanted);
}

std::vector<Tensor> Interpret(const Graph& graph, const std::map<ValueId, Tensor>& inputs,
                              const InterpreterOptions& options) {
  return Interpret(graph, inputs, graph.outputs(), options);
}

}  // namespace laconic
