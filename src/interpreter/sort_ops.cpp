// TopK.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "interpreter/op.h"

namespace laconic::interpreter {
namespace {

// The k best of each line of `length`, best first; of equals the one that comes first; NaN after everything else.
template <typename T>
Tensors TopLines(const OpCall& call, const Tensor& x, std::int64_t k, std::size_t axis) {
  const std::int64_t length = x.shape().back();
  const bool largest = call.Int("largest") != 0;
  Shape shape = x.shape();
  shape.back() = k;
  std::vector<std::int64_t> order(static_cast<std::size_t>(length));
  std::vector<std::int64_t> places;
  const Tensor values = call.Make<T>(shape, [&](T* out) {
    const T* line = x.data_as<T>();
    for (std::int64_t i = 0; i < NumElements(shape); i += k, line += length) {
      std::iota(order.begin(), order.end(), std::int64_t{0});
      std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](std::int64_t a, std::int64_t b) {
        const bool a_is_nan = line[a] != line[a];
        const bool b_is_nan = line[b] != line[b];
        if (a_is_nan != b_is_nan) {
          return b_is_nan;
        }
        if (line[a] == line[b] || a_is_nan) {
          return a < b;
        }
        return (line[a] > line[b]) == largest;
      });
      for (std::int64_t j = 0; j < k; ++j) {
        out[i + j] = line[order[static_cast<std::size_t>(j)]];
      }
      places.insert(places.end(), order.begin(), order.begin() + k);
    }
  });
  const Tensor indices = call.Make<std::int64_t>(shape, [&](std::int64_t* out) { std::ranges::copy(places, out); });
  return {AxisBack(values, axis), AxisBack(indices, axis)};
}

Tensors RunTopK(const OpCall& call) {
  const std::size_t axis = call.Axis(call[0].shape().size());
  const std::int64_t k = call.OneInt(1);
  if (k < 0 || k > call[0].shape()[axis]) {
    Fail(ErrorCode::kInvalidArgument, "the ", k, " best of ", call[0].shape()[axis], " elements");
  }
  const Tensor x = AxisLast(call[0], axis);
  return Dispatch(Numbers(), x.dtype(), [&]<typename T>(T) { return TopLines<T>(call, x, k, axis); });
}

}  // namespace

std::span<const OpEntry> SortOps() {
  static const OpEntry ops[] = {{"TopK", RunTopK}};
  return ops;
}

}  // namespace laconic::interpreter
