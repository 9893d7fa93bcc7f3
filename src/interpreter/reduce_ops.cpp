// Operators that make one number of many: each works on lines, the reduced axes moved last.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "interpreter/op.h"

namespace laconic::interpreter {
namespace {

// Which axes are reduced: those of input 1, or all.
std::vector<bool> ReducedAxes(const OpCall& call) {
  const std::size_t rank = call[0].shape().size();
  const std::vector<std::int64_t> axes = call.has(1) ? call.Ints(1) : std::vector<std::int64_t>();
  std::vector<bool> is_reduced(rank, axes.empty() && call.Int("noop_with_empty_axes") == 0);
  for (const std::int64_t axis : axes) {
    is_reduced[OpCall::Axis(axis, rank)] = true;
  }
  return is_reduced;
}

// One line for each element of the result.
struct Lines {
  Tensor data;
  Shape result;
  std::int64_t count = 1;
  std::int64_t length = 1;
};

Lines MakeLines(const Tensor& x, const std::vector<bool>& is_reduced, bool keep_axes) {
  Lines lines;
  std::vector<std::size_t> perm;
  for (const bool reduced : {false, true}) {
    for (std::size_t i = 0; i < is_reduced.size(); ++i) {
      if (is_reduced[i] == reduced) {
        perm.push_back(i);
        (reduced ? lines.length : lines.count) *= x.shape()[i];
      }
    }
  }
  for (std::size_t i = 0; i < is_reduced.size(); ++i) {
    if (!is_reduced[i] || keep_axes) {
      lines.result.push_back(is_reduced[i] ? 1 : x.shape()[i]);
    }
  }
  lines.data = std::ranges::is_sorted(perm) ? x : Permute(x, perm);
  return lines;
}

template <auto f, typename List>
Tensors Reduce(const OpCall& call) {
  const Lines lines = MakeLines(call[0], ReducedAxes(call), call.Int("keepdims") != 0);
  return {Dispatch(List(), call[0].dtype(), [&]<typename T>(T) {
    const T* line = lines.data.data_as<T>();
    return call.Make<T>(lines.result, [&](T* out) {
      for (std::int64_t i = 0; i < lines.count; ++i) {
        out[i] = static_cast<T>(f(std::span(line + i * lines.length, static_cast<std::size_t>(lines.length))));
      }
    });
  })};
}

// Sums in f64, or in integers that wrap around.
template <typename T, typename F>
Wide<T> SumOf(std::span<const T> line, F f) {
  Wide<T> sum = 0;
  for (const T x : line) {
    sum += f(static_cast<Wide<T>>(x));
  }
  return sum;
}

constexpr auto kSquare = [](auto x) { return x * x; };
constexpr auto kSame = [](auto x) { return x; };

constexpr auto kSum = []<typename T>(std::span<const T> line) { return SumOf(line, kSame); };
constexpr auto kSumSquare = []<typename T>(std::span<const T> line) { return SumOf(line, kSquare); };
constexpr auto kL1 = []<typename T>(std::span<const T> line) {
  Wide<T> sum = 0;
  for (const T x : line) {
    sum += x < 0 ? -static_cast<Wide<T>>(x) : static_cast<Wide<T>>(x);
  }
  return sum;
};
constexpr auto kL2 = []<typename T>(std::span<const T> line) {
  return std::sqrt(static_cast<double>(kSumSquare(line)));
};
constexpr auto kLogSum = []<typename T>(std::span<const T> line) { return std::log(static_cast<double>(kSum(line))); };
constexpr auto kMean = []<typename T>(std::span<const T> line) {
  if constexpr (std::is_integral_v<T>) {
    if (line.empty()) {
      Fail(ErrorCode::kInvalidArgument, "the mean of no integers");
    }
    return static_cast<std::int64_t>(kSum(line)) / static_cast<std::int64_t>(line.size());
  } else {
    return kSum(line) / static_cast<double>(line.size());
  }
};
constexpr auto kProd = []<typename T>(std::span<const T> line) {
  Wide<T> product = 1;
  for (const T x : line) {
    product *= static_cast<Wide<T>>(x);
  }
  return product;
};

// NaN wins; of nothing, the type's least value.
constexpr auto kMax = []<typename T>(std::span<const T> line) {
  using Limits = std::numeric_limits<T>;
  T best = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  for (const T x : line) {
    best = x > best || x != x ? x : best;
  }
  return best;
};
constexpr auto kMin = []<typename T>(std::span<const T> line) {
  using Limits = std::numeric_limits<T>;
  T best = Limits::has_infinity ? Limits::infinity() : Limits::max();
  for (const T x : line) {
    best = x < best || x != x ? x : best;
  }
  return best;
};
constexpr auto kLogSumExp = []<typename T>(std::span<const T> line) {
  const auto max = static_cast<double>(kMax(line));
  if (!std::isfinite(max) || line.empty()) {
    return line.empty() ? -std::numeric_limits<double>::infinity() : max;
  }
  double sum = 0;
  for (const T x : line) {
    sum += std::exp(static_cast<double>(x) - max);
  }
  return std::log(sum) + max;
};

template <bool max>
Tensors RunArg(const OpCall& call) {
  std::vector<bool> is_reduced(call[0].shape().size());
  const std::size_t axis = call.Axis(is_reduced.size());
  is_reduced[axis] = true;
  const Lines lines = MakeLines(call[0], is_reduced, call.Int("keepdims") != 0);
  const bool last = call.Int("select_last_index") != 0;
  if (lines.length == 0) {
    Fail(ErrorCode::kInvalidArgument, "no element along axis ", axis, " of ", ToString(call[0].shape()));
  }
  return {Dispatch(Numbers(), call[0].dtype(), [&]<typename T>(T) {
    const T* line = lines.data.data_as<T>();
    return call.Make<std::int64_t>(lines.result, [&](std::int64_t* out) {
      for (std::int64_t i = 0; i < lines.count; ++i, line += lines.length) {
        std::int64_t best = 0;
        for (std::int64_t j = 1; j < lines.length; ++j) {
          const bool better = max ? line[j] > line[best] : line[j] < line[best];
          best = better || (last && line[j] == line[best]) ? j : best;
        }
        out[i] = best;
      }
    });
  })};
}

Tensors RunCumSum(const OpCall& call) {
  const std::size_t axis = OpCall::Axis(call.OneInt(1), call[0].shape().size());
  const Tensor x = AxisLast(call[0], axis);
  const std::int64_t length = x.shape().back();
  const bool exclusive = call.Int("exclusive") != 0;
  const bool reverse = call.Int("reverse") != 0;
  const Tensor sums = Dispatch(Numbers(), x.dtype(), [&]<typename T>(T) {
    const T* from = x.data_as<T>();
    return call.Make<T>(x.shape(), [&](T* out) {
      for (std::int64_t line = 0; line < x.num_elements(); line += length) {
        Wide<T> sum = 0;
        for (std::int64_t i = 0; i < length; ++i) {
          const std::int64_t at = line + (reverse ? length - 1 - i : i);
          const Wide<T> before = sum;
          sum += static_cast<Wide<T>>(from[at]);
          out[at] = static_cast<T>(exclusive ? before : sum);
        }
      }
    });
  });
  return {AxisBack(sums, axis)};
}

}  // namespace

std::span<const OpEntry> ReduceOps() {
  using Plain = Types<float, double, std::int64_t, std::int32_t>;
  static const OpEntry ops[] = {
      {"ArgMax", RunArg<true>},
      {"ArgMin", RunArg<false>},
      {"CumSum", RunCumSum},
      {"ReduceL1", Reduce<kL1, Plain>},
      {"ReduceL2", Reduce<kL2, Plain>},
      {"ReduceLogSum", Reduce<kLogSum, Plain>},
      {"ReduceLogSumExp", Reduce<kLogSumExp, Plain>},
      {"ReduceMax", Reduce<kMax, Everything>},
      {"ReduceMean", Reduce<kMean, Plain>},
      {"ReduceMin", Reduce<kMin, Everything>},
      {"ReduceProd", Reduce<kProd, Plain>},
      {"ReduceSum", Reduce<kSum, Plain>},
      {"ReduceSumSquare", Reduce<kSumSquare, Plain>},
  };
  return ops;
}

}  // namespace laconic::interpreter
