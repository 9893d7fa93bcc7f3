// Any text as a graph: parsed, or refused with an Error. What was parsed prints to a text that reads back the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "graph/text_form.h"
#include "laconic/error.h"

namespace {

// Every constant is zeros; the seeds have their digests.
laconic::Tensor Zeros(std::string_view name, laconic::DType dtype, const laconic::Shape& shape) {
  constexpr std::int64_t kMaxElements = 1 << 16;
  if (laconic::NumElements(shape) > kMaxElements) {
    laconic::Fail(laconic::ErrorCode::kResource, "constant '", name, "' is too large");
  }
  return laconic::Tensor::Make(dtype, shape, [](std::byte* /*bytes*/) {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text;
  try {
    text = laconic::PrintGraph(laconic::ParseGraph({reinterpret_cast<const char*>(data), size}, Zeros));
  } catch (const laconic::Error&) {
    return 0;
  }
  if (laconic::PrintGraph(laconic::ParseGraph(text, Zeros)) != text) {
    std::abort();
  }
  return 0;
}
