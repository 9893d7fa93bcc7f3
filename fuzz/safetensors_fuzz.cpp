// Any bytes as a .safetensors file: read, or refused with an Error.
#include "checkpoint.h"
#include "formats/safetensors/safetensors.h"
#include "laconic/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const laconic::MemoryFile file({data, size});
  try {
    laconic::ReadEveryElement(laconic::safetensors::ReadFile(file.path()));
  } catch (const laconic::Error&) {
  }
  return 0;
}
