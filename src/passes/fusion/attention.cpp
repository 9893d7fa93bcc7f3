// softmax(q k^T * scale + mask) v over heads -> Attention, from every way to split heads, to scale and to mask:
//   q, k, v   [batch, sequence, width], taken to heads by any chain of reshapes and transposes (head_layout.h)
//   scale     factors on q, on k, on their product, as Mul or Div
//   mask      added, or chosen by Where, recognised by probing (probe.h)
//   softmax   perhaps with NaN replaced, which only texts without a token have
#include <cmath>
#include <unordered_map>

#include "graph/model_io.h"
#include "passes/fusion/head_layout.h"
#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"
#include "passes/fusion/probe.h"

namespace laconic::passes::fusion {
namespace {

// Scores before the softmax.
struct Scores {
  ValueId product = kNoValue;  // q k^T
  double scale = 1;
  bool is_masked = false;
};

class AttentionFuser {
 public:
  explicit AttentionFuser(Draft* draft) : draft_(*draft), prober_(*draft), mask_(draft->FindInput(kAttentionMask)) {}

  bool Run() {
    return RewriteEach(&draft_, [this](const Node& node) {
      return (IsReshape(node) || node.op == "Transpose") && FuseAt(node.outputs[0]);
    });
  }

 private:
  // Whether heads come together again in `value`, and if so, fuses what leads to it.
  bool FuseAt(ValueId value) {
    const Facts& facts = draft_.facts(value);
    if (!facts.has_rank(3) && !facts.has_rank(2)) return false;
    const auto context = FollowBack(draft_, value);
    const Node* product = context ? draft_.Producer(context->source, "MatMul") : nullptr;
    if (product == nullptr || context->factor != 1 || !draft_.facts(context->source).has_rank(4)) return false;
    const Node* softmax = MatchSoftmax(product->inputs[0]);
    if (softmax == nullptr || !IsContext(*context, facts.shape)) return false;
    const ValueId scores_value = softmax->inputs[0];
    const auto refuse = [&](std::string why) {
      draft_.Note(softmax->outputs[0], std::move(why));
      return false;
    };
    const std::optional<Scores> scores = MatchScores(scores_value);
    if (!scores) return refuse(why_);
    const Node* qk = draft_.Producer(scores->product, "MatMul");
    if (qk == nullptr) return refuse("its scores are no product of queries and keys");
    const auto q = FollowBack(draft_, qk->inputs[0]);
    const auto k = FollowBack(draft_, qk->inputs[1]);
    const auto v = FollowBack(draft_, product->inputs[1]);
    const auto num_heads = q && k && v ? NumHeads(*q, *k, *v) : std::nullopt;
    if (!num_heads || v->factor != 1) return refuse("its queries, keys or values are not split into heads as known");
    const double scale = scores->scale * q->factor * k->factor;
    if (static_cast<float>(scale) == 0 || !std::isfinite(static_cast<float>(scale))) {
      return refuse("its scores are multiplied by 0, which an Attention's scale cannot say");
    }
    Emit(value, {q->source, k->source, v->source}, *num_heads, scale, scores->is_masked);
    return true;
  }

  const Node* MatchSoftmax(ValueId value) const {
    const Node* node = draft_.Producer(value);
    if (node != nullptr && node->op == "Where") {
      const Node* test = draft_.Producer(node->inputs[0], "IsNaN");
      if (test == nullptr || test->inputs[0] != node->inputs[2]) return nullptr;
      node = draft_.Producer(node->inputs[2]);
    }
    const bool is_softmax = node != nullptr && node->op == "Softmax" && draft_.facts(node->outputs[0]).has_rank(4) &&
                            IsLastAxis(draft_, node->inputs[0], IntAttribute(*node, "axis"));
    return is_softmax ? node : nullptr;
  }

  // [batch, heads, queries, numbers] -> [batch, queries, heads * numbers], or the same flattened to rows.
  bool IsContext(const Chain& chain, const Sizes& shape) const {
    const Sizes& from = draft_.facts(chain.source).shape;
    const std::vector<Atom>& width = chain.layout.back();
    const std::vector<Atom> rows = shape.size() == 3 ? Joined(chain.layout[0], chain.layout[1]) : chain.layout[0];
    const Layout plain = PlainLayout(from);
    const auto same = [](const std::vector<Atom>& a, const std::vector<Atom>& b) {
      return std::ranges::equal(
          a, b, [](const Atom& x, const Atom& y) { return x.root == y.root && SameSize(x.size, y.size); });
    };
    return same(rows, Joined(plain[0], plain[2])) && same(width, Joined(plain[1], plain[3])) &&
           (shape.size() == 2 || same(chain.layout[0], plain[0]));
  }

  // Takes masks and factors off, from the softmax inwards.
  std::optional<Scores> MatchScores(ValueId value) {
    Scores scores{value};
    for (int i = 0; i < kMaxChain; ++i) {
      const Node* node = draft_.Producer(scores.product);
      if (node == nullptr || node->op == "MatMul") return scores;
      if (const auto scaled = MatchScaled(draft_, scores.product)) {
        scores.product = scaled->x;
        scores.scale *= scaled->factor;
        continue;
      }
      const ValueId unmasked = scores.scale == 1 ? WithoutMask(*node) : kNoValue;
      if (unmasked == kNoValue) {
        if (why_.empty()) why_ = "its scores come from " + node->op + ", which is no mask";
        return std::nullopt;
      }
      scores.is_masked = true;
      scores.product = unmasked;
    }
    return scores;
  }

  // The scores that `node` masks.
  ValueId WithoutMask(const Node& node) {
    why_.clear();
    if (node.op == "Add") {
      for (const std::size_t side : {1U, 0U}) {
        if (KindOf(node.inputs[side]) == MaskKind::kAdditive) return node.inputs[1 - side];
      }
    } else if (node.op == "Where") {
      const MaskKind kind = KindOf(node.inputs[0]);
      const std::size_t kept = kind == MaskKind::kKeep ? 1 : 2;
      const auto fill = draft_.Scalar(node.inputs[3 - kept]);
      if (kind != MaskKind::kNone && fill && *fill <= kMasked) return node.inputs[kept];
    }
    return kNoValue;
  }

  MaskKind KindOf(ValueId value) {
    const auto [found, is_new] = kinds_.try_emplace(value);
    if (is_new) {
      found->second.first = prober_.FindMask(value);
      found->second.second = prober_.reason();
    }
    if (found->second.first == MaskKind::kNone && draft_.Producer(value, "MatMul") == nullptr) {
      why_ = "'" + draft_.name(value) + "' is no mask over keys: " + found->second.second;
    }
    return found->second.first;
  }

  // All three from [batch, sequence, width]: q and v as [batch, heads, tokens, numbers], k as [batch, heads, numbers,
  // tokens].
  std::optional<std::int64_t> NumHeads(const Chain& q, const Chain& k, const Chain& v) const {
    const auto heads = [this](const Chain& chain, std::size_t tokens, std::size_t numbers) -> Size {
      const Facts& from = draft_.facts(chain.source);
      if (!from.has_rank(3) || from.dtype != DType::kF32 || chain.layout.size() != 4) return {};
      const bool fits = IsWholeAxis(chain.layout[0], 0, from.shape[0]) &&
                        IsWholeAxis(chain.layout[tokens], 1, from.shape[1]) &&
                        IsWholeAxis(Joined(chain.layout[1], chain.layout[numbers]), 2, from.shape[2]);
      return fits ? Extent(chain.layout[1]) : Size();
    };
    const Size of_q = heads(q, 2, 3);
    const Size of_k = heads(k, 3, 2);
    const Size of_v = heads(v, 2, 3);
    return SameSize(of_q, of_k) && SameSize(of_q, of_v) ? of_q.number() : std::nullopt;
  }

  void Emit(ValueId value, std::vector<ValueId> inputs, std::int64_t num_heads, double scale, bool is_masked) {
    const Size head = Quotient(draft_.facts(inputs[0]).shape[2], num_heads);
    // The square root that the factors multiply to, rounded once.
    const double usual = head.number() ? 1.0F / std::sqrt(static_cast<float>(*head.number())) : 0;
    const auto exact = static_cast<float>(std::abs(scale - usual) <= 1e-6 * usual ? usual : scale);
    const Attributes attributes = {{"q_num_heads", num_heads}, {"kv_num_heads", num_heads}, {"scale", exact}};
    if (is_masked) inputs.push_back(KeyMask());
    if (draft_.facts(value).has_rank(3)) {
      draft_.Rewrite(value, "Attention", std::move(inputs), attributes);
      return;
    }
    const ValueId deep = draft_.AddNode("Attention", draft_.name(value), std::move(inputs), attributes);
    const std::vector<std::int64_t> target = {-1, draft_.facts(deep).shape[2].number().value_or(-1)};
    draft_.Rewrite(value, "Reshape", {deep, AddShape(&draft_, value, target)});
  }

  ValueId KeyMask() {
    if (key_mask_ == kNoValue) key_mask_ = draft_.AddNode("laconic.KeyMask", "key_mask", {*mask_});
    return key_mask_;
  }

  Draft& draft_;
  Prober prober_;
  std::optional<ValueId> mask_;
  ValueId key_mask_ = kNoValue;
  std::string why_;
  std::unordered_map<ValueId, std::pair<MaskKind, std::string>> kinds_;
};

}  // namespace

bool FuseAttention(Draft* draft) { return AttentionFuser(draft).Run(); }

}  // namespace laconic::passes::fusion
