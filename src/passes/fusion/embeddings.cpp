// Embeddings: position ids and constant token types recognised by probing (probe.h), and the sum in canonical order:
// words, then token types, then positions. Floating-point addition is not associative: another order changes the last
// bit of the sum, and that is allowed here, so that one model has one graph.
#include <algorithm>
#include <unordered_map>

#include "graph/model_io.h"
#include "interpreter/interpreter.h"
#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"
#include "passes/fusion/probe.h"

namespace laconic::passes::fusion {
namespace {

enum class Kind : std::uint8_t { kWords, kTypes, kPositions, kNone };

bool IsTableGather(const Draft& draft, const Node& node) {
  return node.op == "Gather" && IntAttribute(node, "axis") == 0 && IsStoredMatrix(draft, node.inputs[0]);
}

Kind KindOf(const Draft& draft, ValueId value) {
  const Facts& facts = draft.facts(value);
  if (const Tensor* row = draft.Constant(value)) {
    return row->shape().size() == 1 && row->dtype() == DType::kF32 ? Kind::kTypes : Kind::kNone;
  }
  const Node* node = draft.Producer(value);
  if (node == nullptr || !IsTableGather(draft, *node) || !facts.has_rank(3)) return Kind::kNone;
  const ValueId ids = node->inputs[1];
  if (draft.Producer(ids, "laconic.Positions") != nullptr) return Kind::kPositions;
  if (!draft.IsInput(ids)) return Kind::kNone;
  return draft.name(ids) == kInputIds ? Kind::kWords : draft.name(ids) == kTokenTypeIds ? Kind::kTypes : Kind::kNone;
}

class Embeddings {
 public:
  explicit Embeddings(Draft* draft) : draft_(*draft), prober_(*draft), ids_(draft->FindInput(kInputIds)) {}

  bool Run() {
    if (!ids_ || !draft_.facts(*ids_).has_rank(2)) return false;
    const bool recognised = RewriteEach(&draft_, [this](const Node& node) {
      return node.op == "Slice" ? RecogniseRows(node) : IsTableGather(draft_, node) && RecogniseIndex(node);
    });
    return RewriteEach(&draft_, [this](const Node& node) { return node.op == "Add" && Order(node); }) || recognised;
  }

 private:
  ValueId Positions(std::int64_t offset, const std::string& name) {
    const auto [found, is_new] = positions_.try_emplace(offset, kNoValue);
    if (is_new) found->second = draft_.AddNode("laconic.Positions", name, {*ids_}, {{"offset", offset}});
    return found->second;
  }

  // [batch, sequence, any], and no constant that once was.
  bool IsRowsOfTokens(ValueId value) const {
    const Sizes& ids = draft_.facts(*ids_).shape;
    const Facts& facts = draft_.facts(value);
    return draft_.Constant(value) == nullptr && facts.has_rank(3) && SameSize(facts.shape[0], ids[0]) &&
           SameSize(facts.shape[1], ids[1]);
  }

  // Whether `value` is a term of sums [batch, sequence, width] and nothing else, so that what broadcasts alike may
  // stand for it: a row for all tokens, or rows for all texts.
  bool IsTermOfSums(ValueId value, int depth = 3) const {
    if (draft_.IsOutput(value) || depth == 0) return false;
    return std::ranges::all_of(draft_.ReadersOf(value), [&](const Node* reader) {
      const bool is_sum = reader->op == "Add" && IsRowsOfTokens(reader->outputs[0]);
      const ValueId other = is_sum ? OtherInput(*reader, value) : kNoValue;
      return other != kNoValue && other != value &&
             ((HaveSameShape(draft_, other, reader->outputs[0]) && IsRowsOfTokens(other)) ||
              IsTermOfSums(reader->outputs[0], depth - 1));
    });
  }

  // Rows [1, sequence, width] in place of `value`.
  bool MayBePositions(ValueId value) const {
    const Facts& facts = draft_.facts(value);
    const bool same_shape =
        facts.has_rank(3) && facts.shape[0].Is(1) && SameSize(facts.shape[1], draft_.facts(*ids_).shape[1]);
    return same_shape || IsTermOfSums(value);
  }

  // table[index] with an index that is no input.
  bool RecogniseIndex(const Node& node) {
    const ValueId value = node.outputs[0];
    const ValueId index = node.inputs[1];
    if (draft_.IsInput(index) || draft_.Producer(index, "laconic.Positions") != nullptr) return false;
    const bool is_term = IsTermOfSums(value);
    if (!is_term && !MayBePositions(value)) {
      draft_.Note(value, "it is more than a term of the sum of embeddings");
      return false;
    }
    if (const auto offset = prober_.FindPositions(index)) {
      draft_.Rewrite(value, "Gather", {node.inputs[0], Positions(*offset, draft_.name(value) + "_positions")});
      return true;
    }
    const std::string why = prober_.reason();
    const std::optional<Tensor> row = is_term && prober_.IsZero(index) ? FirstRow(node.inputs[0]) : std::nullopt;
    if (!row) {
      draft_.Note(value, "its index is neither an input nor positions: " + why);
      return false;
    }
    draft_.Replace(value, draft_.AddConstant(draft_.name(node.inputs[0]), *row));
    return true;
  }

  // Of a matrix, or of codes with one scale for all rows.
  std::optional<Tensor> FirstRow(ValueId table) const {
    const Node* scaled = draft_.Producer(table, "DequantizeLinear");
    const Tensor* stored = draft_.Constant(scaled == nullptr ? table : scaled->inputs[0]);
    if (stored == nullptr || stored->shape().size() != 2 || stored->shape()[0] == 0) return std::nullopt;
    const Tensor row = stored->Slice(0, 1).Contiguous().Reshaped({stored->shape()[1]});
    if (scaled == nullptr) return row;
    if (IntAttribute(*scaled, "block_size") != 0) return std::nullopt;
    std::vector<const Tensor*> inputs = {&row};
    for (const ValueId input : std::span(scaled->inputs).subspan(1)) {
      inputs.push_back(draft_.Constant(input));
      if (inputs.back() == nullptr || inputs.back()->num_elements() != 1) return std::nullopt;
    }
    return Evaluate(*scaled, inputs)[0];
  }

  // table[begin : begin + sequence], perhaps with an axis of size 1 before.
  bool RecogniseRows(const Node& node) {
    const ValueId value = node.outputs[0];
    const Tensor* table = draft_.Constant(node.inputs[0]);
    const Facts& facts = draft_.facts(value);
    if (table == nullptr || table->dtype() != DType::kF32 || !facts.has_shape || draft_.IsOutput(value)) return false;
    const std::size_t rank = table->shape().size();
    const bool is_table = rank == 2 || (rank == 3 && table->shape()[0] == 1);
    const auto begin = draft_.Integers(node.inputs[1]);
    if (!is_table || !begin || begin->size() != 1 || (*begin)[0] < 0 || !table->is_contiguous() ||
        !MayBePositions(value) || !SameSize(facts.shape[rank - 2], draft_.facts(*ids_).shape[1]) ||
        !facts.shape[rank - 1].Is(table->shape()[rank - 1])) {
      return false;
    }
    const Shape matrix = {table->shape()[rank - 2], table->shape()[rank - 1]};
    const ValueId rows =
        rank == 2 ? node.inputs[0] : draft_.AddConstant(draft_.name(node.inputs[0]), table->Reshaped(matrix));
    draft_.Rewrite(value, "Gather", {rows, Positions((*begin)[0], draft_.name(value) + "_positions")});
    return true;
  }

  // The embeddings that `value` is a sum of; false if it is more than that.
  bool CollectTerms(ValueId value, int depth, std::vector<std::pair<Kind, ValueId>>* terms) {
    if (const Kind kind = KindOf(draft_, value); kind != Kind::kNone) {
      terms->emplace_back(kind, value);
      return true;
    }
    const Sizes& shape = draft_.facts(value).shape;
    // A row of more axes than the embeddings' [batch, sequence, width] gives the sum more, too.
    if (shape.size() <= 3 && IsRow(draft_, value, shape.empty() ? Size() : shape.back())) {
      terms->emplace_back(Kind::kTypes, value);
      return true;
    }
    const Node* node = draft_.Producer(value, "Add");
    return node != nullptr && depth > 0 && CollectTerms(node->inputs[0], depth - 1, terms) &&
           CollectTerms(node->inputs[1], depth - 1, terms);
  }

  bool Order(const Node& node) {
    std::vector<std::pair<Kind, ValueId>> terms;
    constexpr int kDepth = 3;
    if (!CollectTerms(node.outputs[0], kDepth, &terms) || terms.size() < 2) return false;
    const auto by_kind = [](const auto& a, const auto& b) { return a.first < b.first; };
    const bool is_left_deep = KindOf(draft_, node.inputs[1]) != Kind::kNone;
    if (is_left_deep && std::ranges::is_sorted(terms, by_kind)) return false;
    std::ranges::stable_sort(terms, by_kind);
    if (terms[0].first != Kind::kWords) return false;  // a partial sum; the whole one has the words
    ValueId sum = terms[0].second;
    for (std::size_t i = 1; i + 1 < terms.size(); ++i) {
      sum = draft_.AddNode("Add", draft_.name(node.outputs[0]) + "_part", {sum, Term(terms[i].second)});
    }
    draft_.Rewrite(node.outputs[0], "Add", {sum, Term(terms.back().second)});
    return true;
  }

  ValueId Term(ValueId value) { return draft_.Constant(value) == nullptr ? value : AsRow(&draft_, value); }

  Draft& draft_;
  Prober prober_;
  std::optional<ValueId> ids_;
  std::unordered_map<std::int64_t, ValueId> positions_;
};

}  // namespace

bool FuseEmbeddings(Draft* draft) { return Embeddings(draft).Run(); }

}  // namespace laconic::passes::fusion
