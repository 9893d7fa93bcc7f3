// The inner loop of every f32 matrix product, and how a product is cut into tiles.
#pragma once

#include "kernels/panels.h"
#include "kernels/vec16.h"

namespace laconic::kernels {
namespace {

enum class Start : bool { kZero, kGoOn };  // what a tile's sums start from: 0, or what is in c

// c[r, j] = sum_p a[r, p] * b[p, j] for kRows rows and 16 * kVecs columns: one chain of fused steps for each element,
// in ascending p, so that no other row or column has a say in the result. T: the type of b's elements. What lies kFetch
// elements after b goes to L2 meanwhile. Not inlined: an epilogue in the same function makes g++ 12 spill the
// accumulators inside the loop.
template <int kRows, int kVecs, typename T, Start kStart, std::int64_t kFetch = 0>
[[gnu::noinline]] void MultiplyTile(std::int64_t depth, const float* a, std::int64_t a_stride, const T* b,
                                    std::int64_t b_stride, float* c, std::int64_t c_stride) {
  Vec16 sums[kRows][kVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      sums[r][v] = kStart == Start::kZero ? Set1(0.0F) : Load(c + r * c_stride + v * kLanes);
    }
  }
  for (std::int64_t p = 0; p < depth; ++p) {
    Vec16 column[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      column[v] = Load(b + p * b_stride + v * kLanes);
      if constexpr (kFetch > 0) {
        _mm_prefetch(reinterpret_cast<const char*>(b + p * b_stride + v * kLanes + kFetch), _MM_HINT_T1);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vec16 value = Set1(a[r * a_stride + p]);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        sums[r][v] = Fma(value, column[v], sums[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      Store(c + r * c_stride + v * kLanes, sums[r][v]);
    }
  }
}

// body.template operator()<rows>(), for 1 <= rows <= kMaxRows: a tile's rows are known when it is compiled.
template <int kMaxRows, typename Body>
inline void WithRows(std::int64_t rows, const Body& body) {
  if constexpr (kMaxRows > 1) {
    if (rows < kMaxRows) {
      return WithRows<kMaxRows - 1>(rows, body);
    }
  }
  body.template operator()<kMaxRows>();
}

// body.template operator()<vectors>(), the width of a packed panel of a layer with n columns.
template <typename Body>
inline void WithPanelVecs(std::int64_t n, const Body& body) {
  if constexpr (kMaxVecs == 1) {
    body.template operator()<1>();
  } else {
    switch (WideColumns(n)) {
      case 16:
        return body.template operator()<1>();
      case 48:
        return body.template operator()<3>();
      default:
        return body.template operator()<4>();
    }
  }
}

// body(first row, rows): m rows in as few parts of at most max_rows as will do, as even as can be.
template <typename Body>
inline void ForEachRowTile(std::int64_t m, std::int64_t max_rows, const Body& body) {
  const std::int64_t parts = (m + max_rows - 1) / max_rows;
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t begin = m * part / parts;
    body(begin, m * (part + 1) / parts - begin);
  }
}

// body(first row, rows, first column) for the tiles of a product: chunks of rows that stay in L2 while the panels of b
// pass by, and within a chunk panel by panel.
template <typename Body>
inline void ForEachTile(std::int64_t m, std::int64_t row_bytes, std::int64_t max_rows, std::int64_t n_begin,
                        std::int64_t n_end, std::int64_t panel, const Body& body) {
  constexpr std::int64_t kChunkBytes = 512 << 10;
  const std::int64_t fit = kChunkBytes / (row_bytes + 1) / max_rows * max_rows;
  const std::int64_t chunk = fit < 4 * max_rows ? 4 * max_rows : fit;
  for (std::int64_t first = 0; first < m; first += chunk) {
    const std::int64_t rows = m - first < chunk ? m - first : chunk;
    for (std::int64_t column = n_begin; column < n_end; column += panel) {
      ForEachRowTile(rows, max_rows, [&](std::int64_t row, std::int64_t count) { body(first + row, count, column); });
    }
  }
}

}  // namespace
}  // namespace laconic::kernels
