#include "graph/model_io.h"
#include "laconic/error.h"
#include "runtime/lowering.h"
#include "runtime/stored_weights.h"

namespace laconic::runtime {
namespace {

IdSource SourceOf(const Graph& graph, ValueId ids) {
  const std::string& name = graph.value(ids).name;
  const Node* producer = graph.FindProducer(ids);
  if (producer != nullptr && producer->op == "laconic.Positions") {
    return IdSource::kPositions;
  }
  if (name == kInputIds) {
    return IdSource::kIds;
  }
  if (name == kTokenTypeIds) {
    return IdSource::kTypeIds;
  }
  Fail(ErrorCode::kUnsupported, "an embedding of '", name, "'");
}

void CheckLookup(const Graph& graph, const Node& gather) {
  const ValueType& table = graph.value(gather.inputs[0]).type;
  const ValueType& ids = graph.value(gather.inputs[1]).type;
  if (!table.has_rank(2) || !ids.has_rank(2) || IntAttribute(gather, "axis") != 0) {
    Fail(ErrorCode::kUnsupported, "Gather of ", ToString(table), " by ", ToString(ids), " along axis ",
         IntAttribute(gather, "axis"), "; expected rows of a table by ids [batch, sequence]");
  }
}

// The runtime counts a text's positions from 0.
void SkipRows(std::int64_t count, Table* table) {
  const std::int64_t rows = table->data.shape()[0];
  if (count >= rows) {
    Fail(ErrorCode::kInvalidFile, "positions from ", count, " on in a table of ", rows, " rows");
  }
  table->data = table->data.Slice(count, rows);
  if (table->scale.shape()[0] == rows) {
    table->scale = table->scale.Slice(count, rows);
  }
}

void NoteLimit(const Table& table, Plan* plan) {
  const std::int64_t rows = table.data.shape()[0];
  if (rows == 0) {
    Fail(ErrorCode::kInvalidFile, "the embedding table '", table.name, "' has no rows");
  }
  switch (table.ids) {
    case IdSource::kIds:
      LimitTo(rows, &plan->num_ids);
      break;
    case IdSource::kTypeIds:
      LimitTo(rows, &plan->num_types);
      break;
    case IdSource::kPositions:
      LimitTo(rows, &plan->max_positions);
      break;
    case IdSource::kZeros:
      break;
  }
}

// A row that is added to every token is a table whose ids are all 0.
void NoteConstantRow(ValueId value, PlanBuilder* builder) {
  const Tensor* row = builder->graph().FindInitializer(value);
  if (row != nullptr && row->dtype() == DType::kF32 && row->shape().size() == 1) {
    Table table;
    table.data = builder->Constant(value).Reshaped({1, row->shape()[0]});
    table.ids = IdSource::kZeros;
    table.name = builder->graph().value(value).name;
    builder->embeddings[value] = {std::move(table)};
  }
}

}  // namespace

void LowerTableLookup(const Node& node, PlanBuilder* builder) {
  const Graph& graph = builder->graph();
  CheckLookup(graph, node);
  Table table = StoredTable(graph, node.inputs[0]);
  table.ids = SourceOf(graph, node.inputs[1]);
  if (table.ids == IdSource::kPositions) {
    SkipRows(IntAttribute(*graph.FindProducer(node.inputs[1]), "offset"), &table);
  }
  NoteLimit(table, &builder->plan());
  builder->plan().memory_bytes += table.data.size_bytes() + table.scale.size_bytes();
  builder->embeddings[node.outputs[0]] = {std::move(table)};
}

// A tap inside the sum looks up again.
bool JoinTables(const Node& add, PlanBuilder* builder) {
  NoteConstantRow(add.inputs[1], builder);
  auto& embeddings = builder->embeddings;
  const auto a = embeddings.find(add.inputs[0]);
  const auto b = embeddings.find(add.inputs[1]);
  const bool joins = a != embeddings.end() && b != embeddings.end() && b->second.size() == 1 &&
                     builder->WidthOf(add.inputs[0]) == builder->WidthOf(add.inputs[1]) &&
                     static_cast<std::int64_t>(a->second.size()) < kernels::kMaxEmbeddingTables &&
                     builder->SoleReader(add.inputs[0]) != nullptr && builder->SoleReader(add.inputs[1]) != nullptr;
  if (!joins) {
    return false;
  }
  std::vector<Table> joined = a->second;
  joined.push_back(b->second[0]);
  embeddings[add.outputs[0]] = std::move(joined);
  return true;
}

}  // namespace laconic::runtime
