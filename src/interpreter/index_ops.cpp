// Operators that find elements by index, or indices by element.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "interpreter/op.h"

namespace laconic::interpreter {
namespace {

using Sizes = std::vector<std::int64_t>;

// All elements of an integer tensor of any shape.
Sizes Indices(const OpCall& call, const Tensor& tensor) {
  if (tensor.dtype() != DType::kS64 && tensor.dtype() != DType::kS32) {
    Fail(ErrorCode::kInvalidFile, "indices: expected s64 or s32, got ", ToString(tensor.dtype()));
  }
  const auto values = Convert(call, tensor, DType::kS64);
  const auto span = values.values<std::int64_t>();
  return {span.begin(), span.end()};
}

std::int64_t Index(std::int64_t index, std::int64_t size) {
  if (index < -size || index >= size) {
    Fail(ErrorCode::kInvalidArgument, "index ", index, " is outside ", size, " elements");
  }
  return index < 0 ? index + size : index;
}

void CopyBytes(const std::byte* from, std::int64_t bytes, std::byte* to) {
  if (bytes > 0) {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
}

Tensors RunGather(const OpCall& call) {
  const Tensor& x = call[0];
  const std::size_t axis = call.Axis(x.shape().size());
  Sizes indices = Indices(call, call[1]);
  for (std::int64_t& index : indices) {
    index = Index(index, x.shape()[axis]);
  }
  Shape shape(x.shape().begin(), x.shape().begin() + static_cast<std::ptrdiff_t>(axis));
  shape.insert(shape.end(), call[1].shape().begin(), call[1].shape().end());
  shape.insert(shape.end(), x.shape().begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.shape().end());
  const std::int64_t outer = Product(std::span(x.shape()).first(axis));
  const std::int64_t row_bytes = Product(std::span(x.shape()).subspan(axis + 1)) * SizeOf(x.dtype());
  return {call.MakeBytes(x.dtype(), shape, [&](std::byte* out) {
    for (std::int64_t i = 0; i < outer; ++i) {
      for (const std::int64_t index : indices) {
        CopyBytes(x.data() + (i * x.shape()[axis] + index) * row_bytes, row_bytes, out);
        out += row_bytes;
      }
    }
  })};
}

// Calls f(i, place in x) for each of the indices, which lie along `axis` of x and elsewhere where they stand.
template <typename F>
void ForEachAlong(const OpCall& call, const Tensor& x, const Tensor& index_tensor, F&& f) {
  const std::size_t rank = x.shape().size();
  const std::size_t axis = call.Axis(rank);
  const Shape& shape = index_tensor.shape();
  bool fits = shape.size() == rank;
  for (std::size_t i = 0; fits && i < rank; ++i) {
    fits = i == axis || shape[i] <= x.shape()[i];
  }
  if (!fits) {
    Fail(ErrorCode::kInvalidFile, "indices: expected a shape within ", ToString(x.shape()), ", got ", ToString(shape));
  }
  const Sizes indices = Indices(call, index_tensor);
  Sizes steps = x.strides();
  steps[axis] = 0;
  const std::int64_t length = shape.back();
  ForEachRun<1>(shape, std::array{steps}, [&](std::int64_t place, const std::array<std::int64_t, 1>& offset) {
    for (std::int64_t i = 0; i < length; ++i) {
      const std::int64_t index = Index(indices[static_cast<std::size_t>(place + i)], x.shape()[axis]);
      f(place + i, offset[0] + i * steps.back() + index * x.strides()[axis]);
    }
  });
}

Tensors RunGatherElements(const OpCall& call) {
  const Tensor& x = call[0];
  const std::int64_t size = SizeOf(x.dtype());
  return {call.MakeBytes(x.dtype(), call[1].shape(), [&](std::byte* out) {
    ForEachAlong(call, x, call[1],
                 [&](std::int64_t i, std::int64_t place) { CopyBytes(x.data() + place * size, size, out + i * size); });
  })};
}

// An index tuple of GatherND and ScatterND: the last axis of the indices.
struct Tuples {
  Sizes indices;
  std::int64_t count = 0;
  std::int64_t length = 0;
  std::int64_t block = 1;  // elements that one tuple names

  // First element that tuple `i` names, from that of the batch.
  std::int64_t Place(const Tensor& x, std::size_t first_axis, std::int64_t i) const {
    std::int64_t place = 0;
    for (std::int64_t j = 0; j < length; ++j) {
      const std::size_t axis = first_axis + static_cast<std::size_t>(j);
      place += Index(indices[static_cast<std::size_t>(i * length + j)], x.shape()[axis]) * x.strides()[axis];
    }
    return place;
  }
};

Tuples MakeTuples(const OpCall& call, std::size_t batch_dims) {
  const Shape& shape = call[1].shape();
  const std::size_t rank = call[0].shape().size();
  if (shape.empty() || batch_dims >= shape.size() || batch_dims > rank || shape.back() < 0 ||
      shape.back() > static_cast<std::int64_t>(rank - batch_dims)) {
    Fail(ErrorCode::kInvalidFile, "indices of shape ", ToString(shape), " do not fit ", ToString(call[0].shape()));
  }
  Tuples tuples;
  tuples.indices = Indices(call, call[1]);
  tuples.length = shape.back();
  tuples.count = Product(std::span(shape).first(shape.size() - 1));
  tuples.block = Product(std::span(call[0].shape()).subspan(batch_dims + static_cast<std::size_t>(tuples.length)));
  return tuples;
}

Tensors RunGatherND(const OpCall& call) {
  const Tensor& x = call[0];
  const std::int64_t batch_dims = call.Int("batch_dims");
  if (batch_dims < 0) {
    Fail(ErrorCode::kInvalidFile, "batch_dims: expected at least 0, got ", batch_dims);
  }
  const auto first_axis = static_cast<std::size_t>(batch_dims);
  const Tuples tuples = MakeTuples(call, first_axis);
  Shape shape(call[1].shape().begin(), call[1].shape().end() - 1);
  if (!std::equal(shape.begin(), shape.begin() + batch_dims, x.shape().begin())) {
    Fail(ErrorCode::kInvalidFile, "the first ", batch_dims, " sizes differ: ", ToString(call[1].shape()), " and ",
         ToString(x.shape()));
  }
  shape.insert(shape.end(), x.shape().begin() + batch_dims + tuples.length, x.shape().end());
  const std::int64_t batches = Product(std::span(x.shape()).first(first_axis));
  const std::int64_t per_batch = batches == 0 ? 0 : tuples.count / batches;
  const std::int64_t batch_size = Product(std::span(x.shape()).subspan(first_axis));
  const std::int64_t block_bytes = tuples.block * SizeOf(x.dtype());
  return {call.MakeBytes(x.dtype(), shape, [&](std::byte* out) {
    for (std::int64_t i = 0; i < batches * per_batch; ++i) {
      const std::int64_t place = i / per_batch * batch_size + tuples.Place(x, first_axis, i);
      CopyBytes(x.data() + place * SizeOf(x.dtype()), block_bytes, out + i * block_bytes);
    }
  })};
}

// How ScatterND and ScatterElements put `update` where `old` is.
template <typename T>
T Combine(std::string_view reduction, T old, T update) {
  if constexpr (std::is_same_v<T, bool>) {
    return update;
  } else {
    const auto wide = [](T x) { return static_cast<Wide<T>>(x); };
    return reduction == "add"   ? static_cast<T>(wide(old) + wide(update))
           : reduction == "mul" ? static_cast<T>(wide(old) * wide(update))
           : reduction == "max" ? std::max(old, update)
           : reduction == "min" ? std::min(old, update)
                                : update;
  }
}

std::string Reduction(const OpCall& call) {
  std::string reduction = call.String("reduction");
  constexpr std::array<std::string_view, 5> kKnown = {"none", "add", "mul", "max", "min"};
  if (std::ranges::find(kKnown, reduction) == kKnown.end() ||
      (reduction != "none" && call[0].dtype() == DType::kBool)) {
    Fail(ErrorCode::kInvalidFile, "reduction: expected none, add, mul, max or min of numbers, got ", reduction);
  }
  return reduction;
}

Tensors RunScatterND(const OpCall& call) {
  const Tensor& x = call[0];
  const std::string reduction = Reduction(call);
  const Tuples tuples = MakeTuples(call, 0);
  Shape updates(call[1].shape().begin(), call[1].shape().end() - 1);
  updates.insert(updates.end(), x.shape().begin() + tuples.length, x.shape().end());
  if (call[2].shape() != updates || call[2].dtype() != x.dtype()) {
    Fail(ErrorCode::kInvalidFile, "updates: expected ", ToString(x.dtype()), ToString(updates), ", got ",
         ToString(call[2].dtype()), ToString(call[2].shape()));
  }
  return {Dispatch(Everything(), x.dtype(), [&]<typename T>(T) {
    const T* update = call[2].data_as<T>();
    return call.Make<T>(x.shape(), [&](T* out) {
      std::ranges::copy(x.values<T>(), out);
      for (std::int64_t i = 0; i < tuples.count && tuples.block > 0; ++i) {
        const std::int64_t place = tuples.Place(x, 0, i);
        for (std::int64_t j = 0; j < tuples.block; ++j) {
          out[place + j] = Combine(reduction, out[place + j], update[i * tuples.block + j]);
        }
      }
    });
  })};
}

Tensors RunScatterElements(const OpCall& call) {
  const Tensor& x = call[0];
  const std::string reduction = Reduction(call);
  if (call[2].shape() != call[1].shape() || call[2].dtype() != x.dtype()) {
    Fail(ErrorCode::kInvalidFile, "updates: expected ", ToString(x.dtype()), ToString(call[1].shape()), ", got ",
         ToString(call[2].dtype()), ToString(call[2].shape()));
  }
  return {Dispatch(Everything(), x.dtype(), [&]<typename T>(T) {
    const T* update = call[2].data_as<T>();
    return call.Make<T>(x.shape(), [&](T* out) {
      std::ranges::copy(x.values<T>(), out);
      ForEachAlong(call, x, call[1],
                   [&](std::int64_t i, std::int64_t place) { out[place] = Combine(reduction, out[place], update[i]); });
    });
  })};
}

Tensors RunNonZero(const OpCall& call) {
  const Tensor& x = call[0];
  const Tensor is_set = Convert(call, x, DType::kBool);
  const auto set = is_set.values<bool>();
  const auto count = static_cast<std::int64_t>(std::ranges::count(set, true));
  const std::size_t rank = x.shape().size();
  return {call.Make<std::int64_t>({static_cast<std::int64_t>(rank), count}, [&](std::int64_t* out) {
    std::int64_t column = 0;
    for (std::size_t i = 0; i < set.size(); ++i) {
      if (set[i]) {
        auto rest = static_cast<std::int64_t>(i);
        for (std::size_t axis = rank; axis-- > 0; rest /= x.shape()[axis]) {
          out[static_cast<std::int64_t>(axis) * count + column] = rest % x.shape()[axis];
        }
        ++column;
      }
    }
  })};
}

// Indices may be any number; those outside [-depth, depth) give a row of "off".
Tensors RunOneHot(const OpCall& call) {
  const Tensor indices = Convert(call, call[0], DType::kS64);
  const Tensor depth_tensor = Convert(call, call[1], DType::kS64);
  if (depth_tensor.num_elements() != 1 || call[2].shape() != Shape{2}) {
    Fail(ErrorCode::kInvalidFile, "expected one depth and two values, got shapes ", ToString(call[1].shape()), " and ",
         ToString(call[2].shape()));
  }
  const std::int64_t depth = depth_tensor.values<std::int64_t>()[0];
  const std::size_t axis = call.Axis(indices.shape().size() + 1);
  Shape shape = indices.shape();
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), depth);
  const std::int64_t inner = Product(std::span(shape).subspan(axis + 1));
  const std::int64_t size = SizeOf(call[2].dtype());
  return {call.MakeBytes(call[2].dtype(), shape, [&](std::byte* out) {
    for (std::int64_t i = 0, count = NumElements(shape); i < count; ++i) {
      const std::int64_t index =
          indices.values<std::int64_t>()[static_cast<std::size_t>(i / (inner * depth) * inner + i % inner)];
      const std::int64_t place = i / inner % depth;
      const bool is_on = place == index || place - depth == index;
      CopyBytes(call[2].data() + (is_on ? size : 0), size, out + i * size);
    }
  })};
}

}  // namespace

std::span<const OpEntry> IndexOps() {
  static const OpEntry ops[] = {
      {"Gather", RunGather, false},     {"GatherElements", RunGatherElements, false},
      {"GatherND", RunGatherND, false}, {"NonZero", RunNonZero},
      {"OneHot", RunOneHot, false},     {"ScatterElements", RunScatterElements},
      {"ScatterND", RunScatterND},
  };
  return ops;
}

}  // namespace laconic::interpreter
