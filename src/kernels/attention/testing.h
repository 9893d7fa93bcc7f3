// For the tests of attention kernels: a random problem, and the running of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/testing.h"

namespace laconic::kernels {

// q, k and v of normal numbers, v with a deviation of 1, rows further apart than wide.
struct AttentionProblem {
  AttentionProblem(std::int64_t num_queries, std::int64_t num_keys, std::int64_t head_dim, std::mt19937& rng,
                   float deviation = 1)
      : queries(num_queries),
        keys(num_keys),
        dim(head_dim),
        stride(head_dim + 9),
        q(StridedSize(num_queries, head_dim, stride)),
        k(StridedSize(num_keys, head_dim, stride)),
        v(StridedSize(num_keys, head_dim, stride)),
        out(StridedSize(num_queries, head_dim, stride)) {
    FillNormal(q.span(), rng, deviation);
    FillNormal(k.span(), rng, deviation);
    FillNormal(v.span(), rng);
  }

  AttentionArgs Args() {
    const float scale = 1 / std::sqrt(static_cast<float>(dim));
    return {queries,  keys,   dim,   q.data(),   stride, k.data(), stride,
            v.data(), stride, scale, out.data(), stride, nullptr};
  }

  void Run(const AttentionKernels& kernels, AttentionArgs args) {
    // Filled with NaN: nothing that the kernel did not write may count.
    GuardedBuffer<float> scratch((kernels.scratch_bytes(keys, dim) + 3) / 4);
    std::fill_n(scratch.data(), scratch.size(), NAN);
    args.scratch = scratch.data();
    kernels.run(args);
  }

  std::vector<float> Run(const AttentionKernels& kernels) {
    std::fill_n(out.data(), out.size(), kUntouched);
    Run(kernels, Args());
    return out.values();
  }

  std::int64_t queries, keys, dim, stride;
  GuardedBuffer<float> q, k, v, out;
};

}  // namespace laconic::kernels
