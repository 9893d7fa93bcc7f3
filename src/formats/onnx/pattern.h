// A pattern: the plain ONNX operators that stand for one node of our graph. The writer fills it in, the reader looks
// for it; both use the same object, so that what is written is what is recognised.
#pragma once

#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "graph/graph.h"

namespace laconic::onnx_file {

// Index of a value of a pattern.
using Ref = int;
inline constexpr Ref kAbsent = -1;  // an optional input that is left out

// In place of a constant's element: the value of the logical node's attribute.
struct Parameter {
  std::string attribute;
};
using Element = std::variant<std::int64_t, float, Parameter>;

struct PatternConstant {
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<Element> elements;
};

// A value that the pattern gets from outside, or that its nodes compute.
struct Hole {};
struct ColumnSums {
  Ref matrix = 0;            // a hole for an s8 or u8 matrix [K, N]; its sums over K as s32 [N]
  Ref zero_point = kAbsent;  // a hole for what is subtracted from each element: [N] or a scalar of the same type
};
struct Computed {
  int node = 0;
  int output = 0;
};
using PatternValue = std::variant<Hole, PatternConstant, ColumnSums, Computed>;

struct PatternNode {
  std::string op;
  std::vector<Ref> inputs;
  Attributes attributes;
  int num_outputs = 1;
};

// The parameter of a pattern that reads kBlocks, besides the logical node's attributes.
inline constexpr char kBlockSize[] = "block_size";

// How the logical node's input enters the pattern.
enum class InputKind {
  kAny,         // as a value; of `rank` dimensions unless that is 0, and bool where `is_bool`
  kConstant,    // as a value that is a constant of `rank` dimensions, possibly behind Cast or DequantizeLinear
  kRows,        // a laconic.DynamicQuantize per token: as its codes u8, scales f32 and zero points f32 (integers)
  kScalarRows,  // a laconic.DynamicQuantize per tensor, or the DequantizeLinear of what a QuantizeLinear gives: as
                // codes s8 or u8, one scale f32 and one zero point
  kCodes,       // a DequantizeLinear of constants [K, N] along `axis`: as codes, scales f32 and (where there are three
                // refs) zero points. Along axis 0: s8, a scale a row. Along axis 1: s8 or u8, a scale a column or one
  kBlocks,      // s8 with a scale a block of columns; the parameter kBlockSize is that many
};

struct PatternInput {
  InputKind kind = InputKind::kAny;
  std::vector<Ref> refs;
  int rank = 0;
  std::int64_t axis = 0;
  bool is_bool = false;
};

class Pattern {
 public:
  // `fixed`: attributes of the logical node for which the pattern is meant; the others are parameters or defaults.
  explicit Pattern(std::string op, Attributes fixed = {}) : op_(std::move(op)), fixed_(std::move(fixed)) {}

  // The logical node's inputs, in their order.
  Ref Input(int rank = 0);
  Ref BoolInput();
  Ref ConstantInput(int rank);
  std::vector<Ref> RowsInput();
  std::vector<Ref> ScalarRowsInput();
  std::vector<Ref> CodesInput(std::int64_t axis, bool has_zero_points = false);
  std::vector<Ref> BlocksInput();

  Ref Sums(Ref matrix, Ref zero_point = kAbsent);
  Ref Scalar(std::variant<float, Parameter> value);
  Ref Integers(std::vector<std::variant<std::int64_t, Parameter>> values);
  Ref Integer(std::variant<std::int64_t, Parameter> value);
  Ref Byte(std::int64_t value);  // u8
  Ref Node(std::string op, std::vector<Ref> inputs, Attributes attributes = {});
  std::vector<Ref> NodeWithOutputs(std::string op, std::vector<Ref> inputs, int num_outputs);

  // Only where these two attributes are equal.
  void RequireEqual(std::string first, std::string second);

  // What leaves the pattern besides the last node's first output, which does anyway: then all that reads either must
  // be part of patterns, too, that take it as one input of kRows or kScalarRows.
  void AlsoOutput(std::initializer_list<Ref> values) { more_outputs_ = values; }

  const std::string& op() const noexcept { return op_; }
  const Attributes& fixed() const noexcept { return fixed_; }
  const std::set<std::string>& parameters() const noexcept { return parameters_; }
  const std::vector<PatternInput>& inputs() const noexcept { return inputs_; }
  const std::vector<PatternValue>& values() const noexcept { return values_; }
  const std::vector<PatternNode>& nodes() const noexcept { return nodes_; }
  const PatternValue& value(Ref ref) const { return values_[static_cast<std::size_t>(ref)]; }
  Ref output() const noexcept { return output_; }
  const std::vector<Ref>& more_outputs() const noexcept { return more_outputs_; }

  // Whether RequireEqual's demands are met, and attention says its scale and heads.
  bool Admits(const Attributes& attributes) const;

 private:
  template <typename Value>
  Ref AddValue(Value value) {
    values_.emplace_back(std::move(value));
    return static_cast<Ref>(values_.size()) - 1;
  }
  Ref AddConstant(PatternConstant constant);

  std::string op_;
  Attributes fixed_;
  std::set<std::string> parameters_;
  std::vector<std::pair<std::string, std::string>> equal_;
  std::vector<PatternInput> inputs_;
  std::vector<PatternValue> values_;
  std::vector<PatternNode> nodes_;
  Ref output_ = 0;
  std::vector<Ref> more_outputs_;
};

// Whether these constants are what an input of kCodes or kBlocks takes (but for the blocks' size).
bool AreCodes(const PatternInput& wanted, std::span<const Tensor* const> constants);

// The constant with its parameters' values put in.
Tensor MakeConstant(const PatternConstant& constant, const Attributes& parameters);

// Whether `tensor` is this constant. Parameters that are not yet in `parameters` are put there; those that are must be
// met again.
bool MatchConstant(const PatternConstant& constant, const Tensor& tensor, Attributes* parameters);

// Sums over the rows of an s8 or u8 matrix [K, N], less its zero points (null: 0): s32 [N]. Errors: kUnsupported for a
// K of 2^23 or more: they may not fit.
Tensor MakeColumnSums(const Tensor& matrix, const Tensor* zero_points = nullptr);

}  // namespace laconic::onnx_file
