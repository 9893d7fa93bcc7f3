// Normalizations and softmax. Means, variances and sums in f64.
#include <algorithm>
#include <cmath>

#include "interpreter/op.h"

namespace laconic::interpreter {
namespace {

enum class SoftmaxForm { kPlain, kLog };

// A line of -inf alone is NaN, as in NumPy.
template <typename T>
void SoftmaxLine(const T* x, std::int64_t length, SoftmaxForm form, T* out) {
  const double max = *std::max_element(x, x + length);
  double sum = 0;
  for (std::int64_t i = 0; i < length; ++i) {
    sum += std::exp(x[i] - max);
  }
  const double log_sum = std::log(sum);
  for (std::int64_t i = 0; i < length; ++i) {
    out[i] = static_cast<T>(form == SoftmaxForm::kLog ? x[i] - max - log_sum : std::exp(x[i] - max) / sum);
  }
}

template <SoftmaxForm form>
Tensors RunSoftmax(const OpCall& call) {
  const std::size_t axis = call.Axis(call[0].shape().size());
  const Tensor x = AxisLast(call[0], axis);
  const std::int64_t length = x.shape().back();
  const Tensor result = Dispatch(Floats(), x.dtype(), [&]<typename T>(T) {
    return call.Make<T>(x.shape(), [&](T* out) {
      for (std::int64_t i = 0; i < x.num_elements(); i += length) {
        SoftmaxLine(x.data_as<T>() + i, length, form, out + i);
      }
    });
  });
  return {AxisBack(result, axis)};
}

// One scale or bias for each element of a line: what is given, broadcast.
template <typename T>
std::vector<T> LineValues(const OpCall& call, std::size_t i, const Shape& line, T otherwise) {
  if (!call.has(i)) {
    return std::vector<T>(static_cast<std::size_t>(Product(line)), otherwise);
  }
  const std::array<const Shape*, 2> shapes = {&line, &call[i].shape()};
  if (BroadcastShapes(shapes) != line) {
    Fail(ErrorCode::kInvalidFile, "scale or bias: expected ", ToString(line), ", got ", ToString(call[i].shape()));
  }
  const Tensor values = BroadcastTo(call, call[i], line);
  return {values.values<T>().begin(), values.values<T>().end()};
}

struct Moments {
  double mean = 0;
  double inv_std = 0;
};

template <typename T>
Moments MomentsOf(const T* x, std::int64_t length, double epsilon, bool is_centered) {
  const auto n = static_cast<double>(length);
  double mean = 0;
  for (std::int64_t i = 0; is_centered && i < length; ++i) {
    mean += x[i] / n;
  }
  double variance = 0;
  for (std::int64_t i = 0; i < length; ++i) {
    variance += (x[i] - mean) * (x[i] - mean) / n;
  }
  return {mean, 1 / std::sqrt(variance + epsilon)};
}

// LayerNormalization (outputs: result, mean, 1 / standard deviation), and RMSNormalization, which does not center.
template <bool is_centered, typename T>
Tensors NormalizeLines(const OpCall& call) {
  const Tensor& x = call[0];
  const std::size_t axis = call.Axis(x.shape().size());
  const Shape line(x.shape().begin() + static_cast<std::ptrdiff_t>(axis), x.shape().end());
  const std::int64_t length = Product(line);
  const std::vector<T> scale = LineValues<T>(call, 1, line, T{1});
  const std::vector<T> bias = LineValues<T>(call, 2, line, T{0});
  Shape reduced = x.shape();
  std::fill(reduced.begin() + static_cast<std::ptrdiff_t>(axis), reduced.end(), 1);
  std::vector<Moments> moments(static_cast<std::size_t>(NumElements(reduced)));
  Tensors results = {call.Make<T>(x.shape(), [&](T* out) {
    const T* from = x.data_as<T>();
    for (Moments& m : moments) {
      m = MomentsOf(from, length, call.Float("epsilon"), is_centered);
      for (std::int64_t i = 0; i < length; ++i) {
        const auto at = static_cast<std::size_t>(i);
        *out++ = static_cast<T>((*from++ - m.mean) * m.inv_std * scale[at] + bias[at]);
      }
    }
  })};
  for (const auto member : {&Moments::mean, &Moments::inv_std}) {
    results.push_back(call.Make<T>(reduced, [&](T* out) {
      std::ranges::transform(moments, out, [&](const Moments& m) { return static_cast<T>(m.*member); });
    }));
  }
  results.resize(call.num_outputs());
  return results;
}

template <bool is_centered>
Tensors RunNormalizeLines(const OpCall& call) {
  return Dispatch(Floats(), call[0].dtype(), [&]<typename T>(T) { return NormalizeLines<is_centered, T>(call); });
}

// x, scale [C], bias [C], mean [C], variance [C]
Tensors RunBatchNormalization(const OpCall& call) {
  const Tensor& x = call[0];
  if (x.shape().size() < 2) {
    Fail(ErrorCode::kInvalidFile, "expected at least 2 dimensions, got ", ToString(x.shape()));
  }
  const std::int64_t channels = x.shape()[1];
  for (std::size_t i = 1; i < 5; ++i) {
    if (call[i].shape() != Shape{channels} || call[i].dtype() != x.dtype()) {
      Fail(ErrorCode::kInvalidFile, "input ", i, ": expected ", ToString(x.dtype()), "[", channels, "], got ",
           ToString(call[i].dtype()), ToString(call[i].shape()));
    }
  }
  const std::int64_t inner = Product(std::span(x.shape()).subspan(2));
  const double epsilon = call.Float("epsilon");
  return {Dispatch(Floats(), x.dtype(), [&]<typename T>(T) {
    const auto at = [&](std::size_t input, std::int64_t c) {
      return static_cast<double>(call[input].values<T>()[static_cast<std::size_t>(c)]);
    };
    return call.Make<T>(x.shape(), [&](T* out) {
      for (std::int64_t i = 0; i < x.num_elements(); ++i) {
        const std::int64_t c = i / inner % channels;
        const double centered = x.data_as<T>()[i] - at(3, c);
        out[i] = static_cast<T>(centered / std::sqrt(at(4, c) + epsilon) * at(1, c) + at(2, c));
      }
    });
  })};
}

}  // namespace

std::span<const OpEntry> NormalizeOps() {
  static const OpEntry ops[] = {
      {"BatchNormalization", RunBatchNormalization}, {"LayerNormalization", RunNormalizeLines<true>},
      {"LogSoftmax", RunSoftmax<SoftmaxForm::kLog>}, {"RMSNormalization", RunNormalizeLines<false>},
      {"Softmax", RunSoftmax<SoftmaxForm::kPlain>},
  };
  return ops;
}

}  // namespace laconic::interpreter
