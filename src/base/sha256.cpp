#include "base/sha256.h"

#include <array>

#include <openssl/evp.h>

#include "base/mapped_file.h"
#include "laconic/error.h"

namespace laconic {

std::string Sha256Hex(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) {
    Fail(ErrorCode::kInternal, "SHA-256 is not available");
  }
  constexpr char kHex[] = "0123456789abcdef";
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) {
    hex += kHex[digest[i] >> 4];
    hex += kHex[digest[i] & 15];
  }
  return hex;
}

std::string Sha256HexOfFile(const std::filesystem::path& path) { return Sha256Hex(MappedFile::Open(path)->bytes()); }

}  // namespace laconic
