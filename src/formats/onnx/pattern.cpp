#include "formats/onnx/pattern.h"

#include "laconic/error.h"

namespace laconic::onnx_file {
namespace {

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
    values.push_back(Resolve<T>(element, parameters));
  }
  return Tensor::FromValues<T>(constant.shape, values);
}

template <typename T>
bool MatchTyped(const PatternConstant& constant, const Tensor& tensor, Attributes* parameters) {
  const std::span<const T> values = tensor.values<T>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (const auto* parameter = std::get_if<Parameter>(&constant.elements[i])) {
      parameters->emplace(parameter->attribute, values[i]);
    }
    if (Resolve<T>(constant.elements[i], *parameters) != values[i]) {
      return false;
    }
  }
  return true;
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

std::vector<Ref> Pattern::CodesInput(std::int64_t axis) {
  const Ref codes = AddValue(Hole());
  inputs_.push_back({InputKind::kCodes, {codes, AddValue(Hole())}, 0, axis});
  return inputs_.back().refs;
}

std::vector<Ref> Pattern::BlocksInput() {
  const Ref codes = AddValue(Hole());
  inputs_.push_back({InputKind::kBlocks, {codes, AddValue(Hole())}, 0, 1});
  return inputs_.back().refs;
}

Ref Pattern::Sums(Ref matrix) { return AddValue(ColumnSums{matrix}); }

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

Ref Pattern::Node(std::string op, std::vector<Ref> inputs, Attributes attributes) {
  nodes_.push_back({std::move(op), std::move(inputs), std::move(attributes)});
  output_ = AddValue(Computed{static_cast<int>(nodes_.size()) - 1});
  return output_;
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
  return true;
}

Tensor MakeConstant(const PatternConstant& constant, const Attributes& parameters) {
  return constant.dtype == DType::kF32 ? MakeTyped<float>(constant, parameters)
                                       : MakeTyped<std::int64_t>(constant, parameters);
}

bool MatchConstant(const PatternConstant& constant, const Tensor& tensor, Attributes* parameters) {
  if (tensor.dtype() != constant.dtype || tensor.shape() != constant.shape) {
    return false;
  }
  return constant.dtype == DType::kF32 ? MatchTyped<float>(constant, tensor, parameters)
                                       : MatchTyped<std::int64_t>(constant, tensor, parameters);
}

Tensor MakeColumnSums(const Tensor& matrix) {
  constexpr std::int64_t kMaxRows = std::int64_t{1} << 24;
  const std::int64_t num_rows = matrix.shape()[0];
  const std::int64_t num_columns = matrix.shape()[1];
  if (num_rows >= kMaxRows) {
    Fail(ErrorCode::kUnsupported, "a matrix of ", num_rows, " rows: their sums may not fit 32 bits");
  }
  const Tensor flat = matrix.Contiguous();
  std::vector<std::int32_t> sums(static_cast<std::size_t>(num_columns));
  const auto* codes = flat.data_as<std::int8_t>();
  for (std::int64_t k = 0; k < num_rows; ++k) {
    for (std::int64_t n = 0; n < num_columns; ++n) {
      sums[static_cast<std::size_t>(n)] += codes[k * num_columns + n];
    }
  }
  matrix.ReleasePages();
  return Tensor::FromValues<std::int32_t>({num_columns}, sums);
}

}  // namespace laconic::onnx_file
