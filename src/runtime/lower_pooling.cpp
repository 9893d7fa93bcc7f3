#include "graph/model_io.h"
#include "laconic/error.h"
#include "runtime/lowering.h"

namespace laconic::runtime {

// The index 0, or [0] where the dimension stays.
void LowerFirstToken(const Node& node, PlanBuilder* builder) {
  const ValueType& type = builder->graph().value(node.inputs[0]).type;
  const Tensor* index = builder->graph().FindInitializer(node.inputs[1]);
  const bool first = index != nullptr && index->dtype() == DType::kS64 && index->num_elements() == 1 &&
                     index->shape().size() <= 1 && index->values<std::int64_t>()[0] == 0;
  if (!first || !type.has_rank(3)) {
    Fail(ErrorCode::kUnsupported, "Gather along axis 1 of ", ToString(type),
         "; expected the first of rows [batch, sequence, width]");
  }
  const Matrix x = builder->Place(node.inputs[0]);
  if (builder->RowsOf(node.inputs[0]) == Rows::kTexts) {  // first tokens already
    builder->SetPlace(node.outputs[0], x);
  } else {
    builder->Emit<FirstTokenStep>(x, builder->NewPlace(node.outputs[0]));
  }
}

void LowerMeanPool(const Node& node, PlanBuilder* builder) {
  if (builder->graph().value(node.inputs[1]).name != kAttentionMask) {
    Fail(ErrorCode::kUnsupported, "a mean over another mask than '", kAttentionMask, "'");
  }
  if (builder->RowsOf(node.inputs[0]) != Rows::kTokens) {
    Fail(ErrorCode::kUnsupported, "a mean over first tokens");
  }
  const Matrix x = builder->Place(node.inputs[0]);
  builder->Emit<MeanPoolStep>(x, builder->NewPlace(node.outputs[0]));
}

}  // namespace laconic::runtime
