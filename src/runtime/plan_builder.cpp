#include "runtime/plan_builder.h"

#include <algorithm>

#include "laconic/error.h"

namespace laconic::runtime {
namespace {

constexpr std::int64_t kCodesAlignment = 64;  // rows of codes start on a cache line

}  // namespace

bool IsTokenGather(const Node& node) { return node.op == "Gather" && IntAttribute(node, "axis") == 1; }

PlanBuilder::PlanBuilder(const Graph& graph, const PlanOptions& options, std::set<ValueId> tapped, PackStore* packs)
    : graph_(graph), options_(options), tapped_(std::move(tapped)), packs_(packs), readers_(graph) {
  for (const Node& node : graph.nodes()) {
    NoteFirstTokens(node);
  }
}

void PlanBuilder::NoteFirstTokens(const Node& node) {
  const bool reads_them =
      std::ranges::any_of(node.inputs, [&](ValueId input) { return first_tokens_.contains(input); });
  if (IsTokenGather(node) || reads_them) {
    first_tokens_.insert(node.outputs.begin(), node.outputs.end());
  }
}

const Node* PlanBuilder::SoleReader(ValueId value) const {
  const std::vector<const Node*>& readers = ReadersOf(value);
  const bool leaves = std::ranges::find(graph_.outputs(), value) != graph_.outputs().end();
  return readers.size() == 1 && !leaves ? readers[0] : nullptr;
}

Rows PlanBuilder::RowsOf(ValueId value) const {
  const ValueType& type = graph_.value(value).type;
  const std::size_t rank = type.shape.size();
  if ((rank != 2 && rank != 3) || type.dtype != DType::kF32 || !type.shape.back().is_fixed()) {
    Fail(ErrorCode::kUnsupported, "value '", graph_.value(value).name, "' of type ", laconic::ToString(type),
         "; expected f32[batch, width] or f32[batch, sequence, width]");
  }
  return rank == 3 && !first_tokens_.contains(value) ? Rows::kTokens : Rows::kTexts;
}

BufferId PlanBuilder::NewBuffer(Rows rows, std::int64_t row_bytes) {
  plan_.buffers.push_back({rows, row_bytes});
  return static_cast<BufferId>(plan_.buffers.size() - 1);
}

Matrix PlanBuilder::NewMatrix(Rows rows, std::int64_t width) {
  return {NewBuffer(rows, width * static_cast<std::int64_t>(sizeof(float))), 0, width};
}

QuantizedMatrix PlanBuilder::NewQuantized(ValueId value, Rows rows, std::int64_t width) {
  const std::int64_t code_bytes = (width + kCodesAlignment - 1) / kCodesAlignment * kCodesAlignment;
  const QuantizedMatrix matrix = {NewBuffer(rows, code_bytes), NewBuffer(rows, sizeof(float)),
                                  NewBuffer(rows, sizeof(std::int32_t)), width};
  quantized[value] = matrix;
  return matrix;
}

BFloat16Matrix PlanBuilder::NewRounded(ValueId value) {
  const std::int64_t width = WidthOf(value);
  const std::int64_t row_bytes = (width + width % 2) * static_cast<std::int64_t>(sizeof(std::uint16_t));
  return rounded_[value] = {NewBuffer(RowsOf(value), row_bytes), width};
}

BFloat16Matrix PlanBuilder::Rounded(ValueId value) {
  if (const auto found = rounded_.find(value); found != rounded_.end()) {
    return found->second;
  }
  const Matrix x = Place(value);
  const BFloat16Matrix rounded = NewRounded(value);
  Emit<RoundStep>(isa(), RowsOf(value), x, rounded);
  return rounded;
}

Matrix PlanBuilder::Place(ValueId value) {
  if (!HasPlace(value)) {
    EmitPutOff(value);
  }
  const auto found = places_.find(value);
  if (found == places_.end()) {
    Fail(ErrorCode::kUnsupported, "no plan computes '", graph_.value(value).name, "' as numbers of its own");
  }
  return found->second;
}

void PlanBuilder::EmitPutOff(ValueId value) {
  if (const auto tables = embeddings.find(value); tables != embeddings.end()) {
    const Matrix out = NewPlace(value);
    Emit<EmbeddingStep>(isa(), tables->second, out);
  } else if (const auto sum = sums.find(value); sum != sums.end()) {
    const Matrix a = Place(sum->second.first);
    const Matrix b = Place(sum->second.second);
    Emit<AddStep>(isa(), RowsOf(value), a, b, NewPlace(value));
  } else if (const auto rows = scaled.find(value); rows != scaled.end()) {
    const Matrix x = Place(rows->second.x);
    Emit<ScaleStep>(RowsOf(value), x, rows->second.multiplier, NewPlace(value));
  } else if (const auto bounded = clipped.find(value); bounded != clipped.end()) {
    const Matrix x = Place(bounded->second.x);
    Emit<ClipStep>(RowsOf(value), x, bounded->second.lo, bounded->second.hi, NewPlace(value));
  } else if (const auto codes = quantized.find(value); codes != quantized.end()) {
    Emit<DequantizeStep>(RowsOf(value), codes->second, NewPlace(value));
  }
}

Tensor PlanBuilder::Constant(ValueId value) {
  const Tensor* tensor = graph_.FindInitializer(value);
  if (tensor == nullptr || tensor->dtype() != DType::kF32) {
    Fail(ErrorCode::kUnsupported, "'", graph_.value(value).name, "' is not an f32 constant");
  }
  plan_.memory_bytes += tensor->size_bytes();
  return tensor->Contiguous();
}

}  // namespace laconic::runtime
