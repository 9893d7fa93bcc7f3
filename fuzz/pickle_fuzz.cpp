// Any bytes as a pytorch_model.bin, and as the pickle inside one: read, or refused with an Error.
#include <algorithm>
#include <vector>

#include "checkpoint.h"
#include "formats/pickle/pickle.h"
#include "formats/pickle/state_dict.h"
#include "laconic/error.h"

namespace {

// Storages of up to 1,000 zeros, whatever they are asked to be.
laconic::Tensor MakeStorage(std::string_view /*key*/, laconic::DType dtype, std::int64_t num_elements) {
  const std::int64_t size = std::clamp<std::int64_t>(num_elements, 0, 1000);
  return laconic::Tensor::FromBytes(dtype, {size}, std::vector<std::byte>(size * laconic::SizeOf(dtype)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> bytes(data, size);
  try {
    laconic::ReadEveryElement(laconic::pickle::ParseStateDict(std::as_bytes(bytes), MakeStorage));
  } catch (const laconic::Error&) {
  }
  const laconic::MemoryFile file(bytes);
  try {
    laconic::ReadEveryElement(laconic::pickle::ReadFile(file.path()));
  } catch (const laconic::Error&) {
  }
  return 0;
}
