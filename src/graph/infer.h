// What the ops' type inference is made of. An unknown shape or size fits everything: it is checked when the model runs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "laconic/error.h"

namespace laconic::infer {

using Inputs = std::span<const ValueType* const>;

inline void ExpectRank(const ValueType& type, std::size_t rank, std::string_view what) {
  if (type.has_shape && type.shape.size() != rank) {
    Fail(ErrorCode::kInvalidFile, what, ": expected ", rank, " dimensions, got ", ToString(type));
  }
}

inline void ExpectDType(const ValueType& type, DType dtype, std::string_view what) {
  if (type.dtype != dtype) {
    Fail(ErrorCode::kInvalidFile, what, ": expected ", ToString(dtype), ", got ", ToString(type));
  }
}

inline void ExpectInteger(const ValueType& type, std::string_view what) {
  if (type.dtype != DType::kS64 && type.dtype != DType::kS32) {
    Fail(ErrorCode::kInvalidFile, what, ": expected s64 or s32, got ", ToString(type));
  }
}

inline void ExpectSame(const Dim& a, const Dim& b, std::string_view what) {
  if (a != b && !a.is_unknown() && !b.is_unknown()) {
    const auto text = [](const Dim& dim) { return dim.is_fixed() ? std::to_string(dim.size) : dim.symbol; };
    Fail(ErrorCode::kInvalidFile, what, ": expected ", text(a), ", got ", text(b));
  }
}

// An attribute that is an integer where it stands.
inline std::int64_t IntOr(const Attributes& attributes, std::string_view name, std::int64_t otherwise) {
  const auto found = attributes.find(name);
  return found == attributes.end() ? otherwise : std::get<std::int64_t>(found->second);
}

// `axis` counted from the front. Errors: kInvalidFile if out of range.
inline std::size_t Axis(const Attributes& attributes, std::int64_t default_axis, std::size_t rank) {
  const std::int64_t axis = IntOr(attributes, "axis", default_axis);
  const auto signed_rank = static_cast<std::int64_t>(rank);
  if (axis < -signed_rank || axis >= signed_rank) {
    Fail(ErrorCode::kInvalidFile, "axis ", axis, " is outside a tensor of ", rank, " dimensions");
  }
  return static_cast<std::size_t>(axis + (axis < 0 ? signed_rank : 0));
}

// What part `i` of a Split without sizes gets of an axis: as much as any, but for the last ones, which get the rest.
inline std::int64_t PartSize(std::int64_t size, std::int64_t num_parts, std::int64_t i) {
  const std::int64_t most = size / num_parts + (size % num_parts == 0 ? 0 : 1);  // `size` may be any
  return std::clamp(size - i * most, std::int64_t{0}, most);
}

// NumPy's rule, as ONNX has it. Of two different names either may be 1 when the model runs.
inline Dim Broadcast(const Dim& a, const Dim& b) {
  if (a == b || b == Dim(1)) {
    return a;
  }
  if (a == Dim(1) || (b.is_fixed() && !a.is_fixed())) {
    return b;
  }
  if (a.is_fixed() && b.is_fixed()) {
    ExpectSame(a, b, "broadcast");
  }
  return a.is_fixed() ? a : Dim(kUnknownDim);
}

// The shape that all inputs broadcast to, with the first's element type.
inline ValueType Broadcast(Inputs in) {
  ValueType out{in[0]->dtype, {}};
  for (const ValueType* type : in) {
    if (type == nullptr) {
      continue;
    }
    if (!type->has_shape) {
      return ValueType::Unshaped(out.dtype);
    }
    if (type->shape.size() > out.shape.size()) {
      out.shape.insert(out.shape.begin(), type->shape.size() - out.shape.size(), Dim(1));
    }
    const std::size_t shift = out.shape.size() - type->shape.size();
    for (std::size_t i = 0; i < type->shape.size(); ++i) {
      out.shape[shift + i] = Broadcast(out.shape[shift + i], type->shape[i]);
    }
  }
  return out;
}

}  // namespace laconic::infer
