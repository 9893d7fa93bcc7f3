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
  call.CheckSize(DType::kF64, reduced);  // lines without elements take memory too
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

struct ChannelMoments {
  std::vector<double> mean;
  std::vector<double> variance;
};

// Over everything but axis 1.
template <typename T>
ChannelMoments MomentsOfChannels(const Tensor& x) {
  const auto channels = static_cast<std::size_t>(x.shape()[1]);
  const auto inner = static_cast<std::size_t>(Product(std::span(x.shape()).subspan(2)));
  const auto values = x.values<T>();
  const double count = static_cast<double>(values.size()) / static_cast<double>(channels);
  ChannelMoments moments{std::vector<double>(channels), std::vector<double>(channels)};
  for (std::size_t i = 0; i < values.size(); ++i) {
    moments.mean[i / inner % channels] += values[i] / count;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double centered = values[i] - moments.mean[i / inner % channels];
    moments.variance[i / inner % channels] += centered * centered / count;
  }
  return moments;
}

// x [N, C, ...], scale [C], bias [C], mean [C], variance [C]. In training mode x is normalised with its own moments,
// and the second and third result are the given ones, moved towards them.
template <typename T>
Tensors NormalizeChannels(const OpCall& call) {
  const Tensor& x = call[0];
  const auto channels = static_cast<std::size_t>(x.shape()[1]);
  const auto inner = static_cast<std::size_t>(Product(std::span(x.shape()).subspan(2)));
  const std::array given = {call[3].values<T>(), call[4].values<T>()};
  const bool is_training = call.Int("training_mode") != 0;
  const ChannelMoments moments =
      is_training ? MomentsOfChannels<T>(x)
                  : ChannelMoments{{given[0].begin(), given[0].end()}, {given[1].begin(), given[1].end()}};
  const double epsilon = call.Float("epsilon");
  Tensors results = {call.Make<T>(x.shape(), [&](T* out) {
    for (std::size_t i = 0; i < x.values<T>().size(); ++i) {
      const std::size_t c = i / inner % channels;
      const double normed = (x.values<T>()[i] - moments.mean[c]) / std::sqrt(moments.variance[c] + epsilon);
      out[i] = static_cast<T>(normed * call[1].values<T>()[c] + call[2].values<T>()[c]);
    }
  })};
  const double momentum = is_training ? call.Float("momentum") : 1;
  for (const std::size_t i : {0, 1}) {
    const std::vector<double>& own = i == 0 ? moments.mean : moments.variance;
    results.push_back(call.Make<T>(call[3].shape(), [&](T* out) {
      for (std::size_t c = 0; c < channels; ++c) {
        out[c] = static_cast<T>(given[i][c] * momentum + own[c] * (1 - momentum));
      }
    }));
  }
  results.resize(call.num_outputs());
  return results;
}

Tensors RunBatchNormalization(const OpCall& call) {
  const Tensor& x = call[0];
  if (x.shape().size() < 2) {
    Fail(ErrorCode::kInvalidFile, "expected at least 2 dimensions, got ", ToString(x.shape()));
  }
  for (std::size_t i = 1; i < 5; ++i) {
    if (call[i].shape() != Shape{x.shape()[1]} || call[i].dtype() != x.dtype()) {
      Fail(ErrorCode::kInvalidFile, "input ", i, ": expected ", ToString(x.dtype()), "[", x.shape()[1], "], got ",
           ToString(call[i].dtype()), ToString(call[i].shape()));
    }
  }
  return Dispatch(Floats(), x.dtype(), [&]<typename T>(T) { return NormalizeChannels<T>(call); });
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
