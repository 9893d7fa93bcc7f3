// Recognises masks and indices by what they compute, not by how they are written.
//
// Exporters build an attention mask or position ids from dozens of nodes, in a new way each version. A value that
// depends on the ids and masks only, through operators without weights, is evaluated on a few batches instead.
//
// Why a few batches suffice. What is accepted equals, on every element of every probe, a function in which each
// element depends on its own token's mask alone (or on its place alone). Masks are drawn at random with holes and
// padding, so a value in which an element also depends on another token's mask, on its query's or its text's place, on
// another text, or on the batch's size differs from that function in half of the elements where it can; the probes hold
// some thousand. Lengths go from 1 to kLongLength, over the windows of models with local attention and over parities;
// each special id is among the real tokens (a mean that leaves out [SEP] is none over the mask), but for positions the
// padding's, and ordinary ids are drawn. What would be misread is a file made to differ only at lengths, or
// on combinations of ids, that no probe has: such a file says one thing and does another for every reader of it, and
// no length of a pattern would tell it apart either. A probe that the file itself cannot run (a position table that is
// too short) says nothing; at least the short ones must run. One that takes too much memory is a no.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "passes/fusion/draft.h"

namespace laconic::passes::fusion {

// What is added to masked scores, or less: exp of that is 0 beside any score.
inline constexpr double kMasked = -1e4;

enum class MaskKind : std::uint8_t {
  kNone,
  kKeep,      // bool: true where a key is attended
  kDrop,      // bool: true where it is not
  kAdditive,  // f32: 0 where a key is attended, elsewhere kMasked or less
};

class Prober {
 public:
  explicit Prober(const Draft& draft) : draft_(draft) {}

  // What `value` is as a mask over keys, broadcast to [batch, heads, queries, keys]; the same for all heads and
  // queries. Masked keys' values do not matter beyond the above, since masked keys get weight 0.
  MaskKind FindMask(ValueId value);

  // `offset` where `value`, broadcast to [batch, sequence], is offset + place at every real token. Padding does not
  // count: a runtime that computes no padding never looks there.
  std::optional<std::int64_t> FindPositions(ValueId value);

  // Whether `value`, broadcast to [batch, sequence], is 0 everywhere.
  bool IsZero(ValueId value);

  // Whether `value` [batch, sequence, any] or [batch, sequence, 1] is 1 at real tokens and 0 elsewhere.
  bool IsTokenMask(ValueId value);
  // Whether `value` [batch, any] or [batch, 1] is the number of a text's real tokens.
  bool IsTokenCount(ValueId value);

  // Why the last answer was "no".
  const std::string& reason() const noexcept { return reason_; }

 private:
  struct Batch {
    std::int64_t size = 0;
    std::int64_t length = 0;
    std::vector<std::int64_t> ids, mask, types;  // [size, length]
    bool is_short = true;
  };
  enum class MaskStyle : std::uint8_t { kHoles, kRightPadding };
  static std::vector<Batch> MakeBatches(MaskStyle style, std::int64_t padding);
  bool IsWeightFree(ValueId value);
  std::optional<Tensor> Given(ValueId value, const Batch& batch) const;
  void Run(const Node& node, std::unordered_map<ValueId, Tensor>* tensors);
  std::optional<Tensor> Evaluate(ValueId value, const Batch& batch);
  template <typename Check>
  bool HoldsOnAll(ValueId value, MaskStyle style, std::int64_t padding, Check&& check);

  const Draft& draft_;
  std::vector<ValueId> cone_;  // of the value that is probed, each after what it needs
  std::string reason_;
  std::int64_t computed_bytes_ = 0;
};

}  // namespace laconic::passes::fusion
