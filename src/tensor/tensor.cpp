#include "tensor/tensor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/aligned_bytes.h"
#include "laconic/error.h"

namespace laconic {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 59;  // their bytes can be counted, whatever the dtype

std::vector<std::int64_t> RowMajorStrides(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

// Copies a strided block to row-major order, one axis a level.
void CopyStrided(const std::byte* from, std::span<const std::int64_t> shape, std::span<const std::int64_t> strides,
                 std::size_t element_bytes, std::byte** to) {
  if (shape.empty()) {
    std::memcpy(*to, from, element_bytes);
    *to += element_bytes;
    return;
  }
  for (std::int64_t i = 0; i < shape[0]; ++i) {
    CopyStrided(from + i * strides[0] * static_cast<std::int64_t>(element_bytes), shape.subspan(1), strides.subspan(1),
                element_bytes, to);
  }
}

}  // namespace

std::string ToString(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

std::int64_t NumElements(const Shape& shape) {
  if (shape.size() > kMaxRank) {
    Fail(ErrorCode::kInvalidFile, "expected a shape of at most ", kMaxRank, " sizes, got ", shape.size());
  }
  std::int64_t product = 1;
  bool is_empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0) {
      Fail(ErrorCode::kInvalidFile, "negative size in shape ", ToString(shape));
    }
    is_empty |= size == 0;
    // A size of 0 hides the product of the others, but not from the strides.
    if (__builtin_mul_overflow(product, std::max(size, std::int64_t{1}), &product) || product > kMaxElements) {
      Fail(ErrorCode::kInvalidFile, "too many elements in shape ", ToString(shape));
    }
  }
  return is_empty ? 0 : product;
}

Tensor Tensor::Allocate(DType dtype, Shape shape) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.num_elements_ = NumElements(shape);
  tensor.strides_ = RowMajorStrides(shape);
  tensor.shape_ = std::move(shape);
  const auto block = std::make_shared<const AlignedBytes>(tensor.size_bytes());
  tensor.owner_ = block;
  tensor.data_ = block->data();
  return tensor;
}

Tensor Tensor::FromBytes(DType dtype, Shape shape, std::span<const std::byte> bytes) {
  if (const std::int64_t expected = NumElements(shape) * SizeOf(dtype);
      static_cast<std::int64_t>(bytes.size()) != expected) {
    Fail(ErrorCode::kInternal, "expected ", expected, " bytes for a tensor of shape ", ToString(shape), " and dtype ",
         ToString(dtype), ", got ", bytes.size());
  }
  return Make(dtype, std::move(shape), [&](std::byte* data) {
    if (!bytes.empty()) {
      std::memcpy(data, bytes.data(), bytes.size());
    }
  });
}

Tensor Tensor::MapFile(std::shared_ptr<const MappedFile> file, std::int64_t offset, DType dtype, Shape shape) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.num_elements_ = NumElements(shape);
  tensor.strides_ = RowMajorStrides(shape);
  tensor.shape_ = std::move(shape);
  const auto file_bytes = static_cast<std::int64_t>(file->bytes().size());
  if (offset < 0 || offset > file_bytes || tensor.num_elements_ > (file_bytes - offset) / SizeOf(dtype)) {
    Fail(ErrorCode::kInvalidFile, "tensor of shape ", ToString(tensor.shape_), " and dtype ", ToString(dtype),
         " at byte ", offset, " runs past the file's ", file_bytes, " bytes");
  }
  if (offset % SizeOf(dtype) != 0) {
    Fail(ErrorCode::kInvalidFile, "tensor of dtype ", ToString(dtype), " starts at byte ", offset,
         ", which is not a multiple of ", SizeOf(dtype));
  }
  tensor.data_ = file->bytes().data() + offset;
  tensor.file_ = file;
  tensor.owner_ = std::move(file);
  return tensor;
}

bool Tensor::is_contiguous() const noexcept {
  std::int64_t expected = 1;
  for (std::size_t i = shape_.size(); i-- > 0;) {
    if (shape_[i] != 1 && strides_[i] != expected) {
      return num_elements_ == 0;
    }
    expected *= shape_[i];
  }
  return true;
}

void Tensor::CheckContiguous() const {
  if (!is_contiguous()) {
    Fail(ErrorCode::kInternal, "tensor of shape ", ToString(shape_), " is not contiguous");
  }
}

void Tensor::CheckType(DType wanted, std::size_t size) const {
  if (dtype_ != wanted || static_cast<std::int64_t>(size) != SizeOf(dtype_)) {
    Fail(ErrorCode::kInternal, "tensor of dtype ", ToString(dtype_), " read as ", ToString(wanted));
  }
}

Tensor Tensor::Transposed() const {
  Tensor view = *this;
  const std::size_t rank = shape_.size();
  if (rank < 2) {
    Fail(ErrorCode::kInternal, "cannot transpose a tensor of shape ", ToString(shape_));
  }
  std::swap(view.shape_[rank - 1], view.shape_[rank - 2]);
  std::swap(view.strides_[rank - 1], view.strides_[rank - 2]);
  return view;
}

Tensor Tensor::Slice(std::int64_t begin, std::int64_t end) const {
  if (shape_.empty() || begin < 0 || end < begin || end > shape_[0]) {
    Fail(ErrorCode::kInternal, "cannot take rows ", begin, " to ", end, " of a tensor of shape ", ToString(shape_));
  }
  Tensor view = *this;
  view.shape_[0] = end - begin;
  view.num_elements_ = NumElements(view.shape_);
  view.data_ += begin * strides_[0] * SizeOf(dtype_);
  return view;
}

Tensor Tensor::Reshaped(Shape shape) const {
  CheckContiguous();
  if (NumElements(shape) != num_elements_) {
    Fail(ErrorCode::kInternal, "cannot reshape ", ToString(shape_), " to ", ToString(shape));
  }
  Tensor view = *this;
  view.strides_ = RowMajorStrides(shape);
  view.shape_ = std::move(shape);
  return view;
}

Tensor Tensor::Strided(std::int64_t offset, Shape shape, std::vector<std::int64_t> strides) const {
  CheckContiguous();
  const std::int64_t num_elements = NumElements(shape);
  // The last element's place; an empty view has none, but may begin at the end.
  std::int64_t last = offset;
  bool fits = offset >= 0 && offset <= num_elements_ && num_elements <= num_elements_ && strides.size() == shape.size();
  for (std::size_t i = 0; fits && num_elements > 0 && i < shape.size(); ++i) {
    std::int64_t reach = 0;
    fits = strides[i] >= 0 && !__builtin_mul_overflow(shape[i] - 1, strides[i], &reach) &&
           !__builtin_add_overflow(last, reach, &last);
  }
  if (!fits || (num_elements > 0 && last >= num_elements_)) {
    Fail(ErrorCode::kInvalidFile, "a view of shape ", ToString(shape), " and strides ", ToString(strides),
         " from element ", offset, " leaves the ", num_elements_, " elements that there are");
  }
  Tensor view = *this;
  view.data_ += offset * SizeOf(dtype_);
  view.num_elements_ = num_elements;
  view.shape_ = std::move(shape);
  view.strides_ = std::move(strides);
  return view;
}

Tensor Tensor::Contiguous() const {
  if (is_contiguous()) {
    return *this;
  }
  return Make(dtype_, shape_, [this](std::byte* to) {
    CopyStrided(data_, shape_, strides_, static_cast<std::size_t>(SizeOf(dtype_)), &to);
  });
}

Tensor Tensor::ToF32() const {
  if (dtype_ == DType::kF32) {
    return *this;
  }
  if (!is_contiguous()) {
    return Contiguous().ToF32();
  }
  return Make(DType::kF32, shape_, [this](std::byte* data) {
    auto* to = reinterpret_cast<float*>(data);
    for (std::int64_t i = 0; i < num_elements_; ++i) {
      switch (dtype_) {
        case DType::kF64:
          to[i] = static_cast<float>(data_as<double>()[i]);
          break;
        case DType::kF16:
          to[i] = HalfToFloat(data_as<std::uint16_t>()[i]);
          break;
        case DType::kBF16:
          to[i] = BFloat16ToFloat(data_as<std::uint16_t>()[i]);
          break;
        default:
          Fail(ErrorCode::kUnsupported, "expected a floating-point tensor, got ", ToString(dtype_));
      }
    }
  });
}

void Tensor::ReleasePages() const noexcept {
  if (file_ != nullptr && data_ != nullptr) {
    // A transposed view covers the same bytes as its source, so the extent needs no strides.
    file_->ReleasePages(static_cast<std::size_t>(data_ - file_->bytes().data()),
                        static_cast<std::size_t>(size_bytes()));
  }
}

}  // namespace laconic
