// Element types as ONNX numbers them (TensorProto.DataType).
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "laconic/error.h"
#include "tensor/dtype.h"

namespace laconic::onnx_file {

inline constexpr std::array<std::pair<DType, std::int32_t>, 10> kProtoTypes = {{{DType::kF32, 1},
                                                                                {DType::kU8, 2},
                                                                                {DType::kS8, 3},
                                                                                {DType::kS16, 5},
                                                                                {DType::kS32, 6},
                                                                                {DType::kS64, 7},
                                                                                {DType::kBool, 9},
                                                                                {DType::kF16, 10},
                                                                                {DType::kF64, 11},
                                                                                {DType::kBF16, 16}}};

inline std::int32_t ToProto(DType dtype) {
  for (const auto& [ours, theirs] : kProtoTypes) {
    if (ours == dtype) return theirs;
  }
  Fail(ErrorCode::kInternal, "dtype ", ToString(dtype), " has no number in ONNX");
}

// Errors: kUnsupported.
inline DType FromProto(std::int64_t number) {
  for (const auto& [ours, theirs] : kProtoTypes) {
    if (theirs == number) return ours;
  }
  Fail(ErrorCode::kUnsupported, "ONNX element type ", number);
}

}  // namespace laconic::onnx_file
