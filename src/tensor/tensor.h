// An n-dimensional array: shared, immutable storage and a strided view of it. No arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "tensor/dtype.h"

namespace laconic {

using Shape = std::vector<std::int64_t>;
inline constexpr std::size_t kMaxRank = 32;  // far above any model's; bounds recursion over the axes

std::string ToString(const Shape& shape);  // "[2, 3]"

// Product of the sizes. Errors: kInvalidFile for a negative size, more than kMaxRank sizes, or a product over 2^59
// (zeros left out).
std::int64_t NumElements(const Shape& shape);

class Tensor {
 public:
  Tensor() = default;  // no data; shape [0]

  // New storage, filled from `values` in row-major order. Precondition: as many values as the shape has.
  template <typename T>
  static Tensor FromValues(const Shape& shape, std::span<const T> values) {
    return FromBytes(kDTypeOf<T>, shape, std::as_bytes(values));
  }
  static Tensor FromBytes(DType dtype, Shape shape, std::span<const std::byte> bytes);

  // New storage, which `fill` writes once, before anyone else sees it.
  template <typename Fill>
  static Tensor Make(DType dtype, Shape shape, Fill&& fill) {
    Tensor tensor = Allocate(dtype, std::move(shape));
    fill(const_cast<std::byte*>(tensor.data_));
    return tensor;
  }

  // A row-major view of `file` from byte `offset`. Errors: kInvalidFile past the file's end or not aligned for dtype.
  static Tensor MapFile(std::shared_ptr<const MappedFile> file, std::int64_t offset, DType dtype, Shape shape);

  DType dtype() const noexcept { return dtype_; }
  const Shape& shape() const noexcept { return shape_; }
  const std::vector<std::int64_t>& strides() const noexcept { return strides_; }  // in elements
  std::int64_t num_elements() const noexcept { return num_elements_; }
  std::int64_t size_bytes() const noexcept { return num_elements_ * SizeOf(dtype_); }
  bool has_data() const noexcept { return data_ != nullptr || num_elements_ == 0; }
  bool is_contiguous() const noexcept;  // row-major without gaps

  // The file that this is a view of; null for storage of its own.
  const MappedFile* mapped_file() const noexcept { return file_.get(); }

  // The first element; follow strides() unless is_contiguous().
  const std::byte* data() const noexcept { return data_; }
  template <typename T>
  const T* data_as() const;  // Errors: kInternal if T is not the dtype's C++ type

  // All elements. Errors: kInternal if T is not the dtype's type, or the view is not contiguous.
  template <typename T>
  std::span<const T> values() const {
    CheckContiguous();
    return {data_as<T>(), static_cast<std::size_t>(num_elements_)};
  }

  Tensor Transposed() const;                                 // the last two axes swapped; no copy
  Tensor Slice(std::int64_t begin, std::int64_t end) const;  // along axis 0; no copy
  Tensor Reshaped(Shape shape) const;                        // contiguous only; no copy
  // Any view of a contiguous tensor's elements, as PyTorch's storages are viewed: the first at `offset`, and `strides`
  // in elements. Errors: kInvalidFile for elements outside this tensor, or more of them than it has.
  Tensor Strided(std::int64_t offset, Shape shape, std::vector<std::int64_t> strides) const;
  Tensor Contiguous() const;  // itself, or a row-major copy
  Tensor ToF32() const;       // itself if f32; f64, f16 and bf16 converted, element by element

  // This tensor's bytes are not needed for a while: mapped pages leave the resident set. Nothing for owned storage.
  void ReleasePages() const noexcept;

 private:
  static Tensor Allocate(DType dtype, Shape shape);
  void CheckContiguous() const;
  void CheckType(DType wanted, std::size_t size) const;

  DType dtype_ = DType::kF32;
  Shape shape_ = {0};
  std::vector<std::int64_t> strides_ = {1};
  std::int64_t num_elements_ = 0;
  const std::byte* data_ = nullptr;
  std::shared_ptr<const void> owner_;
  std::shared_ptr<const MappedFile> file_;
};

template <typename T>
const T* Tensor::data_as() const {
  // std::uint16_t is how f16 and bf16 bits are read.
  if constexpr (std::is_same_v<T, std::uint16_t>) {
    CheckType(dtype_ == DType::kBF16 ? DType::kBF16 : DType::kF16, sizeof(T));
  } else {
    CheckType(kDTypeOf<T>, sizeof(T));
  }
  return reinterpret_cast<const T*>(data_);
}

}  // namespace laconic
