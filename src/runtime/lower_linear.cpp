#include <algorithm>
#include <cmath>
#include <string_view>

#include "runtime/lowering.h"
#include "runtime/stored_weights.h"

namespace laconic::runtime {
namespace {

using kernels::Activation;

bool IsActivation(const Node& node) { return node.op == "Gelu" || node.op == "Relu" || node.op == "Tanh"; }

Activation ActivationOf(const Node& node) {
  if (node.op == "Relu") {
    return Activation::kRelu;
  }
  if (node.op == "Tanh") {
    return Activation::kTanh;
  }
  return StringAttribute(node, "approximate") == "tanh" ? Activation::kGeluTanh : Activation::kGeluErf;
}

// The kernels that run a layer, and what weights they read: integers where input and weight have codes that integer
// kernels read, else floats as stored, f32 where that is codes.
struct RunType {
  enum class Kernels : std::uint8_t { kU8S8, kF32, kBF16 } kernels;
  DType stored;
  bool operator==(const RunType&) const = default;
};

// Scores and features leave as f32 products: a layer of one row a text, which costs nothing.
bool IsHead(const Node& linear, const PlanBuilder& builder) {
  const std::vector<ValueId>& outputs = builder.graph().outputs();
  return std::ranges::find(outputs, linear.outputs[0]) != outputs.end();
}

RunType RunTypeOf(const Node& linear, const LinearPart& part, const PlanBuilder& builder) {
  if (part.has_codes() && builder.quantized.contains(linear.inputs[0]) && FitsS8(part)) {
    return {RunType::Kernels::kU8S8, DType::kS8};
  }
  const bool is_rounded = builder.options().precision == kernels::Precision::kBF16 && !IsHead(linear, builder);
  return {is_rounded ? RunType::Kernels::kBF16 : RunType::Kernels::kF32,
          part.has_codes() ? DType::kF32 : part.weight.dtype()};
}

RunType RunTypeOf(const Node& linear, const PlanBuilder& builder) {
  return RunTypeOf(linear, StoredLinear(builder.graph(), linear), builder);
}

// `node` with the layers that read the same rows and feed the same attention: Q, K and V, or K and V.
std::vector<const Node*> Siblings(const Node& node, const PlanBuilder& builder) {
  const Node* reader = builder.SoleConsumer(node.outputs[0]);
  if (reader == nullptr || (reader->op != "Attention" && reader->op != "laconic.Int8Attention")) {
    return {&node};
  }
  std::vector<const Node*> group;
  const RunType type = RunTypeOf(node, builder);
  for (std::size_t i = 0; i < 3; ++i) {
    const Node* member = builder.graph().FindProducer(reader->inputs[i]);
    const bool joins = member != nullptr && member->op == "laconic.Linear" && member->inputs[0] == node.inputs[0] &&
                       builder.SoleConsumer(reader->inputs[i]) == reader && RunTypeOf(*member, builder) == type &&
                       !builder.IsDone(member);
    if (joins) {
      group.push_back(member);
    }
  }
  const bool is_mask = std::ranges::find(group, &node) == group.end();
  return is_mask ? std::vector<const Node*>{&node} : group;
}

// "a.query + key + value": what the names have in common, up to a point or slash, is said once.
std::string NameOf(const std::vector<const Node*>& group, const Graph& graph) {
  std::string text = graph.name(*group[0]);
  std::size_t common = text.size();
  for (const Node* member : group) {
    const std::string& name = graph.name(*member);
    const auto differs = std::ranges::mismatch(text, name).in1 - text.begin();
    common = std::min(common, static_cast<std::size_t>(differs));
  }
  common = std::string_view(text).substr(0, common).find_last_of("./") + 1;  // none: npos + 1 is 0
  for (std::size_t i = 1; i < group.size(); ++i) {
    text += " + " + graph.name(*group[i]).substr(common);
  }
  return text;
}

// Each layer's share of the columns.
void PlaceSideBySide(const std::vector<const Node*>& group, const Matrix& matrix, PlanBuilder* builder) {
  std::int64_t column = 0;
  for (const Node* member : group) {
    const std::int64_t width = builder->WidthOf(member->outputs[0]);
    builder->SetPlace(member->outputs[0], {matrix.buffer, column, width});
    column += width;
  }
}

// u8 weights are widened before they are multiplied.
bool Saturates(const std::vector<LinearPart>& parts, const PlanBuilder& builder) {
  return builder.options().saturating &&
         std::ranges::all_of(parts, [](const LinearPart& part) { return part.weight.dtype() == DType::kS8; });
}

bool AreNumbers(const Tensor& tensor) {
  return tensor.num_elements() == 0 ||
         std::ranges::all_of(tensor.Contiguous().values<float>(), [](float x) { return std::isfinite(x); });
}

bool HasZero(const Tensor& tensor) {
  return tensor.num_elements() != 0 && std::ranges::count(tensor.Contiguous().values<float>(), 0.0F) != 0;
}

// Nothing but a row's own scale makes its outputs NaN: no NaN, no infinity less another, no infinity times 0.
bool GivesNumbers(const LinearPart& part, const Tensor& multiplier) {
  return AreNumbers(part.scale) && !HasZero(part.scale) && (part.bias == nullptr || AreNumbers(*part.bias)) &&
         AreNumbers(multiplier) && !HasZero(multiplier);
}

// The static quantizer that alone reads `out`, if the layer can write its codes instead of rows.
std::optional<Quantizer> CodesInstead(ValueId out, const LinearPart& part, const PlanBuilder& builder) {
  const Node* reader = builder.SoleConsumer(out);
  if (reader == nullptr) {
    return std::nullopt;
  }
  std::optional<Quantizer> quantizer = FindQuantizer(*reader, builder);
  const bool runs = quantizer && quantizer->codes.fixed && GivesNumbers(part, quantizer->codes.multiplier);
  return runs ? quantizer : std::nullopt;
}

// Whether `value`, which a layer in bfloat16 makes, is read by another alone.
bool IsReadRounded(ValueId value, const PlanBuilder& builder) {
  const Node* reader = builder.SoleConsumer(value);
  return reader != nullptr && reader->op == "laconic.Linear" &&
         RunTypeOf(*reader, builder).kernels == RunType::Kernels::kBF16;
}

void EmitLinear(const Node& node, RunType::Kernels kernels, LinearSpec spec, const std::vector<LinearPart>& parts,
                PlanBuilder* builder) {
  const ValueId x = node.inputs[0];
  if (kernels == RunType::Kernels::kU8S8) {
    PackedS8 packed = PackS8(
        parts, Saturates(parts, *builder) ? kernels::GetSaturatingGemmU8S8() : kernels::GetGemmU8S8(builder->isa()),
        builder->packs());
    builder->CountLinear(packed.own_bytes);
    builder->Emit<LinearU8S8Step>(std::move(spec), builder->quantized.at(x), std::move(packed));
    return;
  }
  std::vector<LinearPart> exact;
  std::ranges::transform(parts, std::back_inserter(exact),
                         [](const LinearPart& part) { return part.has_codes() ? Dequantized(part) : part; });
  if (kernels == RunType::Kernels::kBF16) {
    PackedBF16 packed = PackBF16(exact, builder->isa(), builder->packs());
    builder->CountLinear(packed.own_bytes);
    const BFloat16Matrix rows = builder->Rounded(x);
    builder->Emit<LinearBF16Step>(std::move(spec), rows, std::move(packed));
    return;
  }
  PackedF32 packed = PackF32(exact, builder->isa(), builder->packs());
  builder->CountLinear(packed.own_bytes);
  builder->Emit<LinearF32Step>(std::move(spec), builder->Place(x), std::move(packed));
}

}  // namespace

void LowerActivation(const Node& node, PlanBuilder* builder) {
  const Matrix x = builder->Place(node.inputs[0]);
  builder->Emit<ActivationStep>(builder->isa(), builder->RowsOf(node.inputs[0]), ActivationOf(node), x,
                                builder->NewPlace(node.outputs[0]));
}

// Siblings become one GEMM; an activation that alone reads a layer is applied as the layer is written, and so is a
// static quantizer.
void LowerLinear(const Node& node, PlanBuilder* builder) {
  const std::vector<const Node*> group = Siblings(node, *builder);
  std::vector<LinearPart> parts;
  std::int64_t width = 0;
  for (const Node* member : group) {
    parts.push_back(StoredLinear(builder->graph(), *member));
    width += parts.back().weight.shape()[1];
    builder->MarkDone(member);
  }
  const RunType::Kernels kernels = RunTypeOf(node, parts[0], *builder).kernels;
  LinearSpec spec;
  spec.name = NameOf(group, builder->graph());
  spec.rows = builder->RowsOf(node.outputs[0]);
  if (group.size() > 1) {
    spec.out = builder->NewMatrix(spec.rows, width);
    PlaceSideBySide(group, spec.out, builder);
    EmitLinear(node, kernels, std::move(spec), parts, builder);
    return;
  }
  ValueId out = node.outputs[0];
  const Node* next = builder->SoleConsumer(out);
  if (next != nullptr && IsActivation(*next)) {
    spec.activation = ActivationOf(*next);
    builder->MarkDone(next);
    out = next->outputs[0];
  }
  auto quantizer =
      kernels == RunType::Kernels::kU8S8 ? CodesInstead(out, parts[0], *builder) : std::optional<Quantizer>();
  if (quantizer) {
    spec.codes = TakeQuantizer(std::move(*quantizer), spec.rows, width, builder);
  } else if (kernels == RunType::Kernels::kBF16 && IsReadRounded(out, *builder)) {
    spec.rounded = builder->NewRounded(out);
  } else {
    spec.out = builder->NewPlace(out);
  }
  EmitLinear(node, kernels, std::move(spec), parts, builder);
}

}  // namespace laconic::runtime
