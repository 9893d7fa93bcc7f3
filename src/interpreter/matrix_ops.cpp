#include "interpreter/matrix_ops.h"

#include <algorithm>
#include <cmath>

#include "quant/weights.h"

namespace laconic::interpreter {
namespace {

// c[n] += a[kSteps] b[kSteps, n], one product after the other: `c` is read and written once for all.
template <std::int64_t kSteps, typename T>
void AddProducts(std::int64_t n, const T* a, const T* __restrict b, T* __restrict c) {
  for (std::int64_t j = 0; j < n; ++j) {
    T sum = c[j];
    for (std::int64_t p = 0; p < kSteps; ++p) {
      sum += a[p] * b[p * n + j];
    }
    c[j] = sum;
  }
}

// c[m, n] = a[m, k] b[k, n], row-major, each sum in ascending order of k. A few rows of `b` stay in the cache for
// several rows of `a`.
template <typename T>
void Multiply(std::int64_t m, std::int64_t k, std::int64_t n, const T* a, const T* b, T* c) {
  constexpr std::int64_t kSteps = 4;
  constexpr std::int64_t kRows = 16;
  std::fill_n(c, m * n, T{0});
  for (std::int64_t row = 0; row < m; row += kRows) {
    const std::int64_t end = std::min(row + kRows, m);
    std::int64_t p = 0;
    for (; p + kSteps <= k; p += kSteps) {
      for (std::int64_t i = row; i < end; ++i) {
        AddProducts<kSteps>(n, a + i * k + p, b + p * n, c + i * n);
      }
    }
    for (; p < k; ++p) {
      for (std::int64_t i = row; i < end; ++i) {
        AddProducts<1>(n, a + i * k + p, b + p * n, c + i * n);
      }
    }
  }
}

// Integers as unsigned ones, so that sums wrap around.
template <typename T>
using Modular = std::conditional_t<std::is_floating_point_v<T>, T,
                                   std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>>;

struct ProductShape {
  Shape a;  // with the leading axes of the result
  Shape b;
  Shape result;
};

ProductShape MakeProductShape(const Shape& a_shape, const Shape& b_shape) {
  Shape a = a_shape;
  Shape b = b_shape;
  if (a.empty() || b.empty()) {
    Fail(ErrorCode::kInvalidFile, "expected matrices, got ", ToString(a), " and ", ToString(b));
  }
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  if (a.back() != b[b.size() - 2]) {
    Fail(ErrorCode::kInvalidFile, "matrices of ", ToString(a_shape), " and ", ToString(b_shape), " do not fit");
  }
  const Shape a_lead(a.begin(), a.end() - 2);
  const Shape b_lead(b.begin(), b.end() - 2);
  const std::array<const Shape*, 2> leads = {&a_lead, &b_lead};
  const Shape lead = BroadcastShapes(leads);
  ProductShape shape{lead, lead, lead};
  shape.a.insert(shape.a.end(), a.end() - 2, a.end());
  shape.b.insert(shape.b.end(), b.end() - 2, b.end());
  if (a_shape.size() > 1) shape.result.push_back(a[a.size() - 2]);
  if (b_shape.size() > 1) shape.result.push_back(b.back());
  return shape;
}

template <typename T>
Tensor MatMulOf(const OpCall& call, const Tensor& a, const Tensor& b) {
  using Number = Modular<T>;
  ProductShape shape = MakeProductShape(a.shape(), b.shape());
  Shape b_shape = b.shape();
  if (std::all_of(shape.b.begin(), shape.b.end() - 2, [](std::int64_t size) { return size == 1; }) ||
      (b_shape.size() <= 2 && a.shape().size() > 1)) {
    // One matrix on the right: all rows of the left at once.
    const std::int64_t k = a.shape().back();
    const std::int64_t n = b_shape.size() < 2 ? 1 : b_shape.back();
    const std::int64_t m = k == 0 ? Product(shape.result) / std::max(n, std::int64_t{1}) : a.num_elements() / k;
    return call.Make<T>(shape.result, [&](T* out) {
      Multiply<Number>(m, k, n, reinterpret_cast<const Number*>(a.data_as<T>()),
                       reinterpret_cast<const Number*>(b.data_as<T>()), reinterpret_cast<Number*>(out));
    });
  }
  const std::int64_t m = shape.a.end()[-2];
  const std::int64_t k = shape.a.back();
  const std::int64_t n = shape.b.back();
  const auto matrices = [&](const Tensor& tensor, const Shape& wanted) {
    Shape from(wanted.size(), 1);
    Shape own = tensor.shape();
    if (own.size() == 1) own.insert(&wanted == &shape.a ? own.begin() : own.end(), 1);
    std::copy_backward(own.begin(), own.end(), from.end());
    std::vector<std::int64_t> strides = BroadcastStrides(from, wanted);
    strides.resize(wanted.size() - 2);
    strides.push_back(0);
    return strides;
  };
  Shape lead(shape.a.begin(), shape.a.end() - 2);
  lead.push_back(1);
  const std::array strides = {matrices(a, shape.a), matrices(b, shape.b)};
  return call.Make<T>(shape.result, [&](T* out) {
    ForEachRun<2>(lead, strides, [&](std::int64_t place, const std::array<std::int64_t, 2>& offset) {
      Multiply<Number>(m, k, n, reinterpret_cast<const Number*>(a.data_as<T>() + offset[0]),
                       reinterpret_cast<const Number*>(b.data_as<T>() + offset[1]),
                       reinterpret_cast<Number*>(out + place * m * n));
    });
  });
}

Tensors RunMatMul(const OpCall& call) { return {MatMul(call, call[0], call[1])}; }

Tensor TransposedIf(const OpCall& call, const char* attribute, const Tensor& matrix) {
  if (matrix.shape().size() != 2) {
    Fail(ErrorCode::kInvalidFile, "expected a matrix, got ", ToString(matrix.shape()));
  }
  return call.Int(attribute) != 0 ? Permute(matrix, {1, 0}) : matrix;
}

Tensors RunGemm(const OpCall& call) {
  const Tensor product = MatMul(call, TransposedIf(call, "transA", call[0]), TransposedIf(call, "transB", call[1]));
  return {Dispatch(Floats(), product.dtype(), [&]<typename T>(T) {
    const auto alpha = static_cast<T>(call.Float("alpha"));
    const auto beta = static_cast<T>(call.Float("beta"));
    const Tensor scaled = alpha == 1 ? product : Map<T, T>(call, product, [&](T x) { return alpha * x; });
    if (!call.has(2)) {
      return scaled;
    }
    return Zip<T, T, T>(call, scaled, BroadcastTo(call, call[2], scaled.shape()),
                        [&](T x, T c) { return x + beta * c; });
  })};
}

// u8 or s8 less its zero point, as s32. A zero point of one dimension belongs to rows on the left, to columns on the
// right.
Tensor LessZeroPoint(const OpCall& call, std::size_t input, std::size_t zero_point, bool is_left) {
  const Tensor codes = Convert(call, call[input], DType::kS32);
  if (!call.has(zero_point)) {
    return codes;
  }
  Tensor offset = Convert(call, call[zero_point], DType::kS32);
  if (is_left && offset.shape().size() == 1 && offset.num_elements() != 1) {
    offset = offset.Reshaped({offset.num_elements(), 1});
  }
  using S32 = std::int32_t;
  return Zip<S32, S32, S32>(call, codes, offset, [](S32 x, S32 y) { return x - y; });
}

Tensors RunMatMulInteger(const OpCall& call) {
  return {MatMul(call, LessZeroPoint(call, 0, 2, true), LessZeroPoint(call, 1, 3, false))};
}

// a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point
Tensors RunQLinearMatMul(const OpCall& call) {
  const Tensor sums = MatMul(call, LessZeroPoint(call, 0, 2, true), LessZeroPoint(call, 3, 5, false));
  const auto multiply = [](float a, float b) { return a * b; };
  Tensor a_scale = call[1];
  if (a_scale.shape().size() == 1 && a_scale.num_elements() != 1) {
    a_scale = a_scale.Reshaped({a_scale.num_elements(), 1});
  }
  const Tensor scale = Zip<float, float, float>(call, Zip<float, float, float>(call, a_scale, call[4], multiply),
                                                call[6], [](float a, float b) { return a / b; });
  const Tensor real = Zip<float, std::int32_t, float>(
      call, sums, scale, [](std::int32_t sum, float s) { return std::nearbyint(static_cast<float>(sum) * s); });
  return {Dispatch(Types<std::int8_t, std::uint8_t>(), call[7].dtype(), [&]<typename T>(T) {
    using Limits = std::numeric_limits<T>;
    return BroadcastTo(call,
                       Zip<T, float, T>(call, real, call[7],
                                        [](float q, T zero_point) {
                                          return std::clamp(q + static_cast<float>(zero_point), float{Limits::min()},
                                                            float{Limits::max()});
                                        }),
                       sums.shape());
  })};
}

Tensors RunLinear(const OpCall& call) {
  const Tensor product = MatMul(call, call[0], call[1]);
  if (!call.has(2)) {
    return {product};
  }
  return {Zip<float, float, float>(call, product, call[2], [](float x, float b) { return x + b; })};
}

}  // namespace

Tensor MatMul(const OpCall& call, const Tensor& a, const Tensor& b) {
  using Products = Types<float, double, std::int64_t, std::int32_t>;
  return Dispatch(Products(), a.dtype(), [&]<typename T>(T) { return MatMulOf<T>(call, a, b); });
}

Tensor IntegerLinear(const OpCall& call, const Tensor& a, const Tensor& row_scales, const Tensor& w,
                     const Tensor& w_scales, const Tensor* bias) {
  if (w.shape().size() != 2) {
    Fail(ErrorCode::kInvalidFile, "weight: expected 2 dimensions, got ", ToString(w.shape()));
  }
  const Shape of_columns = {w.shape()[1]};
  if (w_scales.num_elements() != 1 && w_scales.shape() != of_columns) {
    Fail(ErrorCode::kInvalidFile, "weight's scale: expected ", ToString(of_columns), " or one number, got ",
         ToString(w_scales.shape()));
  }
  if (bias != nullptr && bias->shape() != of_columns) {
    Fail(ErrorCode::kInvalidFile, "bias: expected ", ToString(of_columns), ", got ", ToString(bias->shape()));
  }
  const auto k = static_cast<std::size_t>(w.shape()[0]);
  if (k > quant::kMaxLinearTerms) {
    Fail(ErrorCode::kUnsupported, "an integer sum of ", k, " terms; at most ", quant::kMaxLinearTerms, " fit");
  }
  const Tensor sums = MatMul(call, a, w);
  const std::int64_t n = sums.shape().back();
  const std::int32_t* sum = sums.data_as<std::int32_t>();
  const auto scales = row_scales.values<float>();
  const auto columns = w_scales.values<float>();
  return call.Make<float>(sums.shape(), [&](float* out) {
    for (std::int64_t i = 0; i < sums.num_elements(); ++i) {
      const float scale = scales.size() == 1 ? scales[0] : scales[static_cast<std::size_t>(i / n)];
      const float column = columns.size() == 1 ? columns[0] : columns[static_cast<std::size_t>(i % n)];
      const float product = static_cast<float>(sum[i]) * scale * column;
      out[i] = bias == nullptr ? product : product + bias->values<float>()[static_cast<std::size_t>(i % n)];
    }
  });
}

std::span<const OpEntry> MatrixOps() {
  static const OpEntry ops[] = {
      {"Gemm", RunGemm},
      {"MatMul", RunMatMul},
      {"MatMulInteger", RunMatMulInteger},
      {"QLinearMatMul", RunQLinearMatMul},
      {"laconic.Linear", RunLinear},
  };
  return ops;
}

}  // namespace laconic::interpreter
