#include "formats/onnx/pattern.h"

#include "laconic/error.h"

namespace laconic::onnx_file {
namespace {

// What an element of type T is in a pattern and among attributes.
template <typename T>
using Held = std::conditional_t<std::is_integral_v<T>, std::int64_t, T>;

template <typename T>
T Resolve(const Element& element, const Attributes& parameters) {
  if (const auto* parameter = std::get_if<Parameter>(&element)) {
    return std::get<T>(parameters.at(parameter->attribute));
  }
  return std::get<T>(element);
}

template <typename T>
Tensor MakeTyped(const PatternConstant& constant, const Attributes& parameters) {
  std::vector<T> values;
  for (const Element& element : constant.elements) {
    values.push_back(static_cast<T>(Resolve<Held<T>>(element, parameters)));
  }
  return Tensor::FromValues<T>(constant.shape, values);
}

template <typename T>
bool MatchTyped(const PatternConstant& constant, const Tensor& tensor, Attributes* parameters) {
  const std::span<const T> values = tensor.values<T>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (const auto* parameter = std::get_if<Parameter>(&constant.elements[i])) {
      parameters->emplace(parameter->attribute, Held<T>{values[i]});
    }
    if (Resolve<Held<T>>(constant.elements[i], *parameters) != Held<T>{values[i]}) {
      return false;
    }
  }
  return true;
}

template <typename T>
std::vector<std::int32_t> SumTyped(const Tensor& matrix, const Tensor* zero_points) {
  const std::int64_t num_columns = matrix.shape()[1];
  const Tensor flat = matrix.Contiguous();
  const T* codes = flat.data_as<T>();
  std::vector<std::int32_t> sums(static_cast<std::size_t>(num_columns));
  for (std::int64_t k = 0; k < matrix.shape()[0]; ++k) {
    for (std::int64_t n = 0; n < num_columns; ++n) {
      sums[static_cast<std::size_t>(n)] += codes[k * num_columns + n];
    }
  }
  for (std::size_t n = 0; zero_points != nullptr && n < sums.size(); ++n) {
    const T zero_point = zero_points->values<T>()[zero_points->num_elements() == 1 ? 0 : n];
    sums[n] -= static_cast<std::int32_t>(matrix.shape()[0]) * zero_point;
  }
  return sums;
}

}  // namespace

Ref Pattern::AddConstant(PatternConstant constant) {
  for (const Element& element : constant.elements) {
    if (const auto* parameter = std::get_if<Parameter>(&element)) {
      parameters_.insert(parameter->attribute);
    }
  }
  return AddValue(std::move(constant));
}

Ref Pattern::Input(int rank) {
  inputs_.push_back({InputKind::kAny, {AddValue(Hole())}, rank});
  return inputs_.back().refs[0];
}

Ref Pattern::BoolInput() {
  const Ref input = Input();
  inputs_.back().is_bool = true;
  return input;
}

Ref Pattern::ConstantInput(int rank) {
  inputs_.push_back({InputKind::kConstant, {AddValue(Hole())}, rank});
  return inputs_.back().refs[0];
}

std::vector<Ref> Pattern::RowsInput() {
  const Ref codes = AddValue(Hole());
  const Ref scales = AddValue(Hole());
  inputs_.push_back({InputKind::kRows, {codes, scales, AddValue(Hole())}});
  return inputs_.back().refs;
}

std::vector<Ref> Pattern::ScalarRowsInput() {
  const Ref codes = AddValue(Hole());
  const Ref scale = AddValue(Hole());
  inputs_.push_back({InputKind::kScalarRows, {codes, scale, AddValue(Hole())}});
  return inputs_.back().refs;
}

std::vector<Ref> Pattern::CodesInput(std::int64_t axis, bool has_zero_points) {
  const Ref codes = AddValue(Hole());
  inputs_.push_back({InputKind::kCodes, {codes, AddValue(Hole())}, 0, axis});
  if (has_zero_points) {
    inputs_.back().refs.push_back(AddValue(Hole()));
  }
  return inputs_.back().refs;
}

std::vector<Ref> Pattern::BlocksInput() {
  const Ref codes = AddValue(Hole());
  inputs_.push_back({InputKind::kBlocks, {codes, AddValue(Hole())}, 0, 1});
  return inputs_.back().refs;
}

Ref Pattern::Sums(Ref matrix, Ref zero_point) { return AddValue(ColumnSums{matrix, zero_point}); }

Ref Pattern::Scalar(std::variant<float, Parameter> value) {
  return AddConstant({DType::kF32, {}, {std::visit([](auto v) { return Element(std::move(v)); }, std::move(value))}});
}

Ref Pattern::Integers(std::vector<std::variant<std::int64_t, Parameter>> values) {
  PatternConstant constant{DType::kS64, {static_cast<std::int64_t>(values.size())}, {}};
  for (auto& value : values) {
    constant.elements.push_back(std::visit([](auto v) { return Element(std::move(v)); }, std::move(value)));
  }
  return AddConstant(std::move(constant));
}

Ref Pattern::Integer(std::variant<std::int64_t, Parameter> value) {
  return AddConstant({DType::kS64, {}, {std::visit([](auto v) { return Element(std::move(v)); }, std::move(value))}});
}

Ref Pattern::Byte(std::int64_t value) { return AddConstant({DType::kU8, {}, {value}}); }

Ref Pattern::Node(std::string op, std::vector<Ref> inputs, Attributes attributes) {
  nodes_.push_back({std::move(op), std::move(inputs), std::move(attributes)});
  output_ = AddValue(Computed{static_cast<int>(nodes_.size()) - 1});
  return output_;
}

std::vector<Ref> Pattern::NodeWithOutputs(std::string op, std::vector<Ref> inputs, int num_outputs) {
  std::vector<Ref> outputs = {Node(std::move(op), std::move(inputs))};
  nodes_.back().num_outputs = num_outputs;
  for (int i = 1; i < num_outputs; ++i) {
    outputs.push_back(AddValue(Computed{static_cast<int>(nodes_.size()) - 1, i}));
  }
  return outputs;
}

void Pattern::RequireEqual(std::string first, std::string second) {
  equal_.emplace_back(std::move(first), std::move(second));
}

bool Pattern::Admits(const Attributes& attributes) const {
  for (const auto& [first, second] : equal_) {
    if (attributes.at(first) != attributes.at(second)) {
      return false;
    }
  }
  const auto is = [&](const char* name, const Attribute& value) {
    const auto found = attributes.find(name);
    return found != attributes.end() && found->second == value;
  };
  // Of attention, where 0 stands for the usual scale, and for heads that are an axis of their own.
  return !is("scale", 0.0F) && !is("q_num_heads", std::int64_t{0});
}

bool AreCodes(const PatternInput& wanted, std::span<const Tensor* const> constants) {
  const Tensor& codes = *constants[0];
  const Tensor& scales = *constants[1];
  const bool is_byte = codes.dtype() == DType::kS8 || (codes.dtype() == DType::kU8 && wanted.axis == 1);
  if (!is_byte || codes.shape().size() != 2 || scales.dtype() != DType::kF32) {
    return false;
  }
  if (wanted.kind == InputKind::kBlocks) {
    return codes.dtype() == DType::kS8 && scales.shape().size() == 2;
  }
  const bool fits = scales.shape() == Shape{codes.shape()[static_cast<std::size_t>(wanted.axis)]} ||
                    (wanted.axis == 1 && scales.shape().empty());
  return fits &&
         (constants.size() < 3 || (constants[2]->dtype() == codes.dtype() && constants[2]->shape() == scales.shape()));
}

Tensor MakeConstant(const PatternConstant& constant, const Attributes& parameters) {
  switch (constant.dtype) {
    case DType::kF32:
      return MakeTyped<float>(constant, parameters);
    case DType::kU8:
      return MakeTyped<std::uint8_t>(constant, parameters);
    default:
      return MakeTyped<std::int64_t>(constant, parameters);
  }
}

bool MatchConstant(const PatternConstant& constant, const Tensor& tensor, Attributes* parameters) {
  if (tensor.dtype() != constant.dtype || tensor.shape() != constant.shape) {
    return false;
  }
  switch (constant.dtype) {
    case DType::kF32:
      return MatchTyped<float>(constant, tensor, parameters);
    case DType::kU8:
      return MatchTyped<std::uint8_t>(constant, tensor, parameters);
    default:
      return MatchTyped<std::int64_t>(constant, tensor, parameters);
  }
}

Tensor MakeColumnSums(const Tensor& matrix, const Tensor* zero_points) {
  constexpr std::int64_t kMaxRows = std::int64_t{1} << 23;
  if (matrix.shape()[0] >= kMaxRows) {
    Fail(ErrorCode::kUnsupported, "a matrix of ", matrix.shape()[0], " rows: their sums may not fit 32 bits");
  }
  const std::vector<std::int32_t> sums = matrix.dtype() == DType::kS8 ? SumTyped<std::int8_t>(matrix, zero_points)
                                                                      : SumTyped<std::uint8_t>(matrix, zero_points);
  matrix.ReleasePages();
  return Tensor::FromValues<std::int32_t>({matrix.shape()[1]}, sums);
}

}  // namespace laconic::onnx_file
