#include "kernels/amx_gemm.h"
#include "kernels/gemm_bf16/simd.h"

namespace laconic::kernels {
namespace {

struct BFloat16s {
  using Products = BF16Products;

  TileOperands operands;
  const GemmBF16Args& args;

  void Write(std::int64_t row, std::int64_t rows, std::int64_t column, const std::uint8_t* sums) const {
    WriteSums<2>(args, row, rows, column, reinterpret_cast<const float*>(sums));
  }
};

}  // namespace

void GemmBF16AmxBF16(const GemmBF16Args& args) noexcept {
  const auto* a = reinterpret_cast<const std::uint8_t*>(args.a);
  const auto* panels = static_cast<const std::uint8_t*>(args.packed);
  RunTiles(BFloat16s{{args.m, args.n_begin, args.n_end, 2 * args.k, a, 2 * args.a_stride, panels}, args});
}

}  // namespace laconic::kernels
