// Any QConfig is read or refused with an Error; what is read prints as text that reads back as the same settings.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "laconic/error.h"
#include "laconic/qconfig.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  for (const laconic::QConfigUse use : {laconic::QConfigUse{true, true}, laconic::QConfigUse{true, false},
                                        laconic::QConfigUse{false, true}, laconic::QConfigUse{false, false}}) {
    laconic::QConfig config;
    try {
      config = laconic::ParseQConfig(input, use);
    } catch (const laconic::Error&) {
      continue;
    }
    const std::string text = laconic::PrintQConfig(config);
    if (laconic::DescribeQConfig(config).empty() || laconic::ParseQConfig(text, use) != config) {
      std::abort();
    }
  }
  return 0;
}
