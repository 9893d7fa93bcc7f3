// How the vector kernels of attention_int8 lay out their scratch. `parts`: ScratchParts or ScratchBytes.
#pragma once

#include "kernels/panels.h"
#include "kernels/scratch.h"

namespace laconic::kernels {
namespace {

template <typename Code>
inline constexpr int kCodesOfWord = 4 / sizeof(Code);

template <typename Code>
constexpr std::int64_t Words(std::int64_t codes) {
  return RoundUp(codes, kCodesOfWord<Code>) / kCodesOfWord<Code>;
}

// Past keys and head_dim codes are 0, steps anything. `rows`: of queries in a tile; two tiles find their steps
// together.
template <typename Code>
struct CodeScratch {
  std::int64_t keys_padded;  // to 16
  std::int64_t dim_padded;   // to 16
  std::int32_t* k;           // transposed: [words of head_dim, to 8][keys_padded]
  std::int32_t* k_start;     // [keys_padded]: what takes kQueryOffset out of a sum
  float* k_step;             // [keys_padded]
  float* k_bias;             // [keys_padded]: 0, past keys -inf
  float k_poison;            // 0, or NaN if a step of a key is
  std::int32_t* v;           // [words of keys][dim_padded]
  float* v_step;             // [dim_padded]
  float* scores;             // [rows][keys_padded]
  Code* weights;             // [rows][keys_padded]
  Code* q;                   // [2 * rows][dim_padded to 8 words]
  std::int64_t q_stride;
};

template <typename Code, typename Parts>
inline CodeScratch<Code> LayOutCodes(std::int64_t keys, std::int64_t head_dim, std::int64_t rows, Parts* parts) {
  CodeScratch<Code> scratch = {};
  scratch.keys_padded = RoundUp(keys, 16);
  scratch.dim_padded = RoundUp(head_dim, 16);
  scratch.q_stride = RoundUp(scratch.dim_padded, std::int64_t{8} * kCodesOfWord<Code>);
  scratch.k = parts->template Take<std::int32_t>(Words<Code>(scratch.q_stride) * scratch.keys_padded);
  scratch.k_start = parts->template Take<std::int32_t>(scratch.keys_padded);
  scratch.k_step = parts->template Take<float>(scratch.keys_padded);
  scratch.k_bias = parts->template Take<float>(scratch.keys_padded);
  scratch.v = parts->template Take<std::int32_t>(Words<Code>(keys) * scratch.dim_padded);
  scratch.v_step = parts->template Take<float>(scratch.dim_padded);
  scratch.scores = parts->template Take<float>(rows * scratch.keys_padded);
  scratch.weights = parts->template Take<Code>(rows * scratch.keys_padded);
  scratch.q = parts->template Take<Code>(2 * rows * scratch.q_stride);
  return scratch;
}

}  // namespace
}  // namespace laconic::kernels
