// Operators that move elements and compute shapes; of any element type.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "graph/infer.h"
#include "interpreter/op.h"

namespace laconic::interpreter {
namespace {

using Sizes = std::vector<std::int64_t>;

std::int64_t Rank(const Tensor& tensor) { return static_cast<std::int64_t>(tensor.shape().size()); }

void CopyBytes(const std::byte* from, std::int64_t bytes, std::byte* to) {
  if (bytes > 0) {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
}

Tensors RunConcat(const OpCall& call) {
  Shape shape = call[0].shape();
  const std::size_t axis = call.Axis(shape.size());
  for (std::size_t i = 1; i < call.num_inputs(); ++i) {
    for (std::size_t j = 0; j < shape.size(); ++j) {
      if (j != axis && call[i].shape()[j] != shape[j]) {
        Fail(ErrorCode::kInvalidFile, "input ", i, ": expected sizes of ", ToString(call[0].shape()), ", got ",
             ToString(call[i].shape()));
      }
    }
    shape[axis] += call[i].shape()[axis];
  }
  const std::int64_t outer = Product(std::span(shape).first(axis));
  return {call.MakeBytes(call[0].dtype(), shape, [&](std::byte* out) {
    for (std::int64_t row = 0; row < outer; ++row) {
      for (std::size_t i = 0; i < call.num_inputs(); ++i) {
        const std::int64_t bytes = call[i].size_bytes() / outer;
        CopyBytes(call[i].data() + row * bytes, bytes, out);
        out += bytes;
      }
    }
  })};
}

Tensors RunExpand(const OpCall& call) {
  const Shape wanted = call.Ints(1);
  NumElements(wanted);
  const std::array<const Shape*, 2> shapes = {&call[0].shape(), &wanted};
  return {BroadcastTo(call, call[0], BroadcastShapes(shapes))};
}

Tensors RunFlatten(const OpCall& call) {
  const Shape& shape = call[0].shape();
  const std::int64_t axis = call.Int("axis") + (call.Int("axis") < 0 ? Rank(call[0]) : 0);
  if (axis < 0 || axis > Rank(call[0])) {
    Fail(ErrorCode::kInvalidFile, "axis ", call.Int("axis"), " is outside ", ToString(shape));
  }
  const auto split = static_cast<std::size_t>(axis);
  return {call[0].Reshaped({Product(std::span(shape).first(split)), Product(std::span(shape).subspan(split))})};
}

Tensors RunReshape(const OpCall& call) {
  const Shape& from = call[0].shape();
  Shape to = call.Ints(1);
  std::int64_t* inferred = nullptr;
  std::int64_t known = 1;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] == 0 && call.Int("allowzero") == 0) {
      if (i >= from.size()) {
        Fail(ErrorCode::kInvalidFile, "shape ", ToString(to), " keeps size ", i, ", which ", ToString(from),
             " has not");
      }
      to[i] = from[i];
    }
    if (to[i] == -1 && inferred == nullptr) {
      inferred = &to[i];
    } else if (to[i] < 0 || __builtin_mul_overflow(known, to[i], &known)) {
      Fail(ErrorCode::kInvalidFile, "cannot reshape to ", ToString(to));
    }
  }
  if (inferred != nullptr) {
    *inferred = known == 0 ? 0 : call[0].num_elements() / known;
  }
  if (NumElements(to) != call[0].num_elements()) {
    Fail(ErrorCode::kInvalidFile, "cannot reshape ", ToString(from), " to ", ToString(call.Ints(1)));
  }
  return {call[0].Reshaped(std::move(to))};
}

Tensors RunShape(const OpCall& call) {
  const Shape& shape = call[0].shape();
  const auto bound = [&](const char* name) {
    const std::int64_t value = call.Int(name);
    return std::clamp(value < 0 ? value + Rank(call[0]) : value, std::int64_t{0}, Rank(call[0]));
  };
  const std::int64_t start = bound("start");
  const std::int64_t count = std::max(bound("end") - start, std::int64_t{0});
  return {call.Make<std::int64_t>({count}, [&](std::int64_t* out) { std::copy_n(shape.begin() + start, count, out); })};
}

Tensors RunSize(const OpCall& call) {
  return {call.Make<std::int64_t>({}, [&](std::int64_t* out) { *out = call[0].num_elements(); })};
}

// Every element of the result is one of the input's: first + sum of index * step. Steps may be negative.
Tensor Pick(const OpCall& call, const Tensor& x, const Shape& shape, std::int64_t first, const Sizes& steps) {
  const std::int64_t size = SizeOf(x.dtype());
  const std::int64_t length = shape.empty() ? 1 : shape.back();
  const std::int64_t step = shape.empty() ? 1 : steps.back();
  return call.MakeBytes(x.dtype(), shape, [&](std::byte* out) {
    ForEachRun<1>(shape, std::array{steps}, [&](std::int64_t place, const std::array<std::int64_t, 1>& offset) {
      const std::byte* from = x.data() + (first + offset[0]) * size;
      if (step == 1) {
        CopyBytes(from, length * size, out + place * size);
        return;
      }
      for (std::int64_t i = 0; i < length; ++i) {
        std::memcpy(out + (place + i) * size, from + i * step * size, static_cast<std::size_t>(size));
      }
    });
  });
}

Tensors RunSlice(const OpCall& call) {
  const Tensor& x = call[0];
  const Sizes starts = call.Ints(1);
  const Sizes ends = call.Ints(2);
  Sizes axes(starts.size());
  std::iota(axes.begin(), axes.end(), std::int64_t{0});
  axes = call.has(3) ? call.Ints(3) : axes;
  const Sizes slice_steps = call.has(4) ? call.Ints(4) : Sizes(starts.size(), 1);
  if (ends.size() != starts.size() || axes.size() != starts.size() || slice_steps.size() != starts.size()) {
    Fail(ErrorCode::kInvalidFile, "starts, ends, axes and steps differ in length");
  }
  Shape shape = x.shape();
  Sizes steps = x.strides();
  std::vector<bool> is_cut(shape.size());
  std::int64_t first = 0;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::size_t axis = OpCall::Axis(axes[i], shape.size());
    if (is_cut[axis]) {
      Fail(ErrorCode::kInvalidFile, "axis ", axes[i], " is there twice");
    }
    is_cut[axis] = true;
    const std::int64_t size = x.shape()[axis];
    const std::int64_t step = slice_steps[i];
    if (step == 0) {
      Fail(ErrorCode::kInvalidFile, "a step of 0");
    }
    // Python's rule: a bound from the end, then within what this direction can reach.
    const auto clamp = [&](std::int64_t bound, std::int64_t lo, std::int64_t hi) {
      return std::clamp(bound < 0 ? bound + size : bound, lo, hi);
    };
    const std::int64_t start = step > 0 ? clamp(starts[i], 0, size) : clamp(starts[i], -1, size - 1);
    const std::int64_t end = step > 0 ? clamp(ends[i], 0, size) : clamp(ends[i], -1, size - 1);
    const std::int64_t span = step > 0 ? end - start : start - end;
    const std::uint64_t stride = step > 0 ? static_cast<std::uint64_t>(step) : -static_cast<std::uint64_t>(step);
    shape[axis] = span <= 0 ? 0 : static_cast<std::int64_t>((static_cast<std::uint64_t>(span) - 1) / stride + 1);
    if (shape[axis] > 1) {
      steps[axis] = x.strides()[axis] * step;
    }
    first += start * x.strides()[axis];
  }
  return {Pick(call, x, shape, first, steps)};
}

// How much of `axis` each output gets.
Sizes SplitSizes(const OpCall& call, std::int64_t size) {
  const auto parts = static_cast<std::int64_t>(call.num_outputs());
  if (call.has(1)) {
    Sizes sizes = call.Ints(1);
    std::int64_t rest = size;
    const bool fits = std::ranges::all_of(sizes, [&](std::int64_t part) { return part >= 0 && (rest -= part) >= 0; });
    if (!fits || rest != 0 || static_cast<std::int64_t>(sizes.size()) != parts) {
      Fail(ErrorCode::kInvalidFile, "cannot split ", size, " into ", parts, " parts of ", ToString(sizes));
    }
    return sizes;
  }
  Sizes sizes;
  for (std::int64_t i = 0; i < parts; ++i) {
    sizes.push_back(infer::PartSize(size, parts, i));
  }
  return sizes;
}

Tensors RunSplit(const OpCall& call) {
  const Tensor& x = call[0];
  const std::size_t axis = call.Axis(x.shape().size());
  Tensors parts;
  std::int64_t begin = 0;
  for (const std::int64_t size : SplitSizes(call, x.shape()[axis])) {
    Shape shape = x.shape();
    shape[axis] = size;
    parts.push_back(Pick(call, x, shape, begin * x.strides()[axis], x.strides()));
    begin += size;
  }
  return parts;
}

Tensors RunSqueeze(const OpCall& call) {
  const Shape& from = call[0].shape();
  std::vector<bool> dropped(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    dropped[i] = !call.has(1) && from[i] == 1;
  }
  for (const std::int64_t axis : call.has(1) ? call.Ints(1) : Sizes()) {
    const std::size_t i = OpCall::Axis(axis, from.size());
    if (from[i] != 1) {
      Fail(ErrorCode::kInvalidFile, "axis ", axis, " of ", ToString(from), " is not 1");
    }
    dropped[i] = true;
  }
  Shape to;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!dropped[i]) {
      to.push_back(from[i]);
    }
  }
  return {call[0].Reshaped(std::move(to))};
}

Tensors RunUnsqueeze(const OpCall& call) {
  const Sizes axes = call.Ints(1);
  const std::size_t rank = call[0].shape().size() + axes.size();
  NumElements(Shape(rank, 1));  // the limit on the number of sizes
  std::vector<bool> is_new(rank);
  for (const std::int64_t axis : axes) {
    if (is_new[OpCall::Axis(axis, rank)]) {
      Fail(ErrorCode::kInvalidFile, "axis ", axis, " is there twice");
    }
    is_new[OpCall::Axis(axis, rank)] = true;
  }
  Shape to;
  auto next = call[0].shape().begin();
  for (std::size_t i = 0; i < rank; ++i) {
    to.push_back(is_new[i] ? 1 : *next++);
  }
  return {call[0].Reshaped(std::move(to))};
}

Tensors RunTile(const OpCall& call) {
  const Tensor& x = call[0];
  const Sizes repeats = call.Ints(1);
  if (repeats.size() != x.shape().size()) {
    Fail(ErrorCode::kInvalidFile, "expected ", x.shape().size(), " repeats, got ", repeats.size());
  }
  // [a, b] as [1, a, 1, b], broadcast to [ra, a, rb, b]; two axes for one must fit, so axes that stay are left as one.
  Shape narrow;
  Shape wide;
  Shape shape;
  for (std::size_t i = 0; i < repeats.size(); ++i) {
    const std::int64_t size = x.shape()[i];
    std::int64_t total = 0;
    if (repeats[i] < 0 || __builtin_mul_overflow(size, repeats[i], &total)) {
      Fail(ErrorCode::kInvalidFile, "cannot repeat ", size, " elements ", repeats[i], " times");
    }
    shape.push_back(total);
    if (repeats[i] != 1) {
      narrow.push_back(1);
      wide.push_back(repeats[i]);
    }
    narrow.push_back(size);
    wide.push_back(size);
  }
  call.CheckSize(x.dtype(), shape);
  return {BroadcastTo(call, x.Reshaped(narrow), wide).Reshaped(shape)};
}

Tensors RunTranspose(const OpCall& call) {
  std::vector<std::size_t> perm(call[0].shape().size());
  std::iota(perm.rbegin(), perm.rend(), std::size_t{0});
  const auto found = call.attributes().find("perm");
  if (found != call.attributes().end()) {
    std::ranges::transform(std::get<Sizes>(found->second), perm.begin(),
                           [](std::int64_t axis) { return static_cast<std::size_t>(axis); });
  }
  return {Permute(call[0], perm)};
}

Tensors RunTrilu(const OpCall& call) {
  const Tensor& x = call[0];
  if (x.shape().size() < 2) {
    Fail(ErrorCode::kInvalidFile, "expected at least 2 dimensions, got ", ToString(x.shape()));
  }
  const std::int64_t shift = call.has(1) ? call.OneInt(1) : 0;
  const bool upper = call.Int("upper") != 0;
  const std::int64_t rows = x.shape().end()[-2];
  const std::int64_t cols = x.shape().back();
  const std::int64_t size = SizeOf(x.dtype());
  return {call.MakeBytes(x.dtype(), x.shape(), [&](std::byte* out) {
    for (std::int64_t i = 0; i < x.num_elements(); ++i) {
      const std::int64_t row = i / cols % rows;
      const std::int64_t diagonal = std::clamp(shift, -rows - 1, cols + 1) + row;
      const bool kept = upper ? i % cols >= diagonal : i % cols <= diagonal;
      if (kept) {
        CopyBytes(x.data() + i * size, size, out + i * size);
      } else {
        std::fill_n(out + i * size, size, std::byte{0});
      }
    }
  })};
}

// ---- Pad ----

// The index that a padded place shows; -1 for the constant.
std::int64_t PaddedIndex(std::string_view mode, std::int64_t i, std::int64_t size) {
  if (i >= 0 && i < size) {
    return i;
  }
  if (mode == "edge") {
    return std::clamp(i, std::int64_t{0}, size - 1);
  }
  if (mode == "wrap") {
    return (i % size + size) % size;
  }
  if (mode == "reflect") {
    const std::int64_t period = std::max(2 * (size - 1), std::int64_t{1});
    const std::int64_t folded = (i % period + period) % period;
    return folded < size ? folded : period - folded;
  }
  return -1;
}

struct Padding {
  Sizes before;
  Shape shape;
};

Padding ReadPadding(const OpCall& call) {
  const Tensor& x = call[0];
  const Sizes pads = call.Ints(1);
  Sizes axes(x.shape().size());
  std::iota(axes.begin(), axes.end(), std::int64_t{0});
  axes = call.has(3) ? call.Ints(3) : axes;
  if (pads.size() != 2 * axes.size()) {
    Fail(ErrorCode::kInvalidFile, "expected ", 2 * axes.size(), " pads, got ", pads.size());
  }
  Padding padding{Sizes(x.shape().size()), x.shape()};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t axis = OpCall::Axis(axes[i], x.shape().size());
    padding.before[axis] = pads[i];
    std::int64_t& size = padding.shape[axis];
    if (__builtin_add_overflow(size, pads[i], &size) || __builtin_add_overflow(size, pads[i + axes.size()], &size) ||
        size < 0) {
      Fail(ErrorCode::kInvalidFile, "cannot pad ", x.shape()[axis], " elements by ", pads[i], " and ",
           pads[i + axes.size()]);
    }
  }
  return padding;
}

// What mode "constant" shows: input 2, or 0.
std::vector<std::byte> PaddingElement(const OpCall& call) {
  const DType dtype = call[0].dtype();
  std::vector<std::byte> value(static_cast<std::size_t>(SizeOf(dtype)));
  if (call.has(2) && call[2].num_elements() > 0) {
    if (call[2].dtype() != dtype || call[2].num_elements() != 1) {
      Fail(ErrorCode::kInvalidFile, "constant: expected one ", ToString(dtype));
    }
    std::memcpy(value.data(), call[2].data(), value.size());
  }
  return value;
}

Tensors RunPad(const OpCall& call) {
  const Tensor& x = call[0];
  const std::string mode = call.String("mode");
  if (mode != "constant" && mode != "edge" && mode != "reflect" && mode != "wrap") {
    Fail(ErrorCode::kInvalidFile, "mode: expected constant, edge, reflect or wrap, got ", mode);
  }
  const Padding padding = ReadPadding(call);
  const Shape& shape = padding.shape;
  if (mode != "constant" && x.num_elements() == 0 && NumElements(shape) > 0) {
    Fail(ErrorCode::kInvalidFile, "nothing to pad with in ", ToString(x.shape()));
  }
  const std::vector<std::byte> value = PaddingElement(call);
  const std::size_t size = value.size();
  const std::size_t rank = shape.size();
  return {call.MakeBytes(x.dtype(), shape, [&](std::byte* out) {
    Sizes index(rank);
    for (std::int64_t place = 0, count = NumElements(shape); place < count; ++place) {
      std::int64_t from = 0;
      for (std::size_t axis = 0; axis < rank && from >= 0; ++axis) {
        const std::int64_t i = PaddedIndex(mode, index[axis] - padding.before[axis], x.shape()[axis]);
        from = i < 0 ? -1 : from + i * x.strides()[axis];
      }
      std::memcpy(out + place * static_cast<std::int64_t>(size),
                  from < 0 ? value.data() : x.data() + from * static_cast<std::int64_t>(size), size);
      for (std::size_t axis = rank; axis-- > 0 && ++index[axis] == shape[axis];) {
        index[axis] = 0;
      }
    }
  })};
}

// ---- Range ----

template <typename T>
Tensor MakeRange(const OpCall& call) {
  const T start = call[0].values<T>()[0];
  const T limit = call[1].values<T>()[0];
  const T delta = call[2].values<T>()[0];
  const double count =
      std::ceil((static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(delta));
  if (delta == 0 || std::isnan(count)) {
    Fail(ErrorCode::kInvalidFile, "no range from ", start, " to ", limit, " by ", delta);
  }
  const auto size = static_cast<std::int64_t>(std::clamp(count, 0.0, 1e18));
  return call.Make<T>({size}, [&](T* out) {
    for (std::int64_t i = 0; i < size; ++i) {
      out[i] = static_cast<T>(static_cast<Wide<T>>(start) + static_cast<Wide<T>>(i) * static_cast<Wide<T>>(delta));
    }
  });
}

Tensors RunRange(const OpCall& call) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (call[i].num_elements() != 1 || call[i].dtype() != call[0].dtype()) {
      Fail(ErrorCode::kInvalidFile, "input ", i, ": expected one ", ToString(call[0].dtype()));
    }
  }
  return {Dispatch(Signed(), call[0].dtype(), [&]<typename T>(T) { return MakeRange<T>(call); })};
}

}  // namespace

std::span<const OpEntry> ShapeOps() {
  static const OpEntry ops[] = {
      {"Concat", RunConcat, false},
      {"Expand", RunExpand, false},
      {"Flatten", RunFlatten, false},
      {"Pad", RunPad, false},
      {"Range", RunRange},
      {"Reshape", RunReshape, false},
      {"Shape", RunShape, false},
      {"Size", RunSize, false},
      {"Slice", RunSlice, false},
      {"Split", RunSplit, false},
      {"Squeeze", RunSqueeze, false},
      {"Tile", RunTile, false},
      {"Transpose", RunTranspose, false},
      {"Trilu", RunTrilu, false},
      {"Unsqueeze", RunUnsqueeze, false},
  };
  return ops;
}

}  // namespace laconic::interpreter
