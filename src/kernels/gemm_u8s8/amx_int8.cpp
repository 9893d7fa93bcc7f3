#include "kernels/amx_gemm.h"
#include "kernels/gemm_u8s8/simd.h"

namespace laconic::kernels {
namespace {

struct Codes {
  using Products = U8S8Products;

  TileOperands operands;
  const GemmU8S8Args& args;

  void Write(std::int64_t row, std::int64_t rows, std::int64_t column, const std::uint8_t* sums) const {
    WriteSums<2>(args, row, rows, column, reinterpret_cast<const std::int32_t*>(sums));
  }
};

}  // namespace

void GemmU8S8AmxInt8(const GemmU8S8Args& args) noexcept {
  const auto* panels = static_cast<const std::uint8_t*>(args.packed) + SumsBytes(args.n, kPanel);
  RunTiles(Codes{{args.m, args.n_begin, args.n_end, args.k, args.a, args.a_stride, panels}, args});
}

}  // namespace laconic::kernels
