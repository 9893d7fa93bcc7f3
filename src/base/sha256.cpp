#include "base/sha256.h"

#include <array>
#include <memory>
#include <vector>

#include <openssl/evp.h>

#include "base/cancel.h"
#include "base/file.h"
#include "laconic/error.h"

namespace laconic {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    Check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void Add(const void* bytes, std::size_t size) { Check(EVP_DigestUpdate(context_.get(), bytes, size) == 1); }
  std::string Hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    Check(EVP_DigestFinal_ex(context_.get(), digest.data(), &length) == 1);
    constexpr char kHex[] = "0123456789abcdef";
    std::string hex;
    for (unsigned int i = 0; i < length; ++i) {
      hex += kHex[digest[i] >> 4];
      hex += kHex[digest[i] & 15];
    }
    return hex;
  }

 private:
  static void Check(bool succeeded) {
    if (!succeeded) {
      Fail(ErrorCode::kInternal, "SHA-256 is not available");
    }
  }

  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string Sha256Hex(std::span<const std::byte> bytes) {
  Sha256 sha;
  sha.Add(bytes.data(), bytes.size());
  return sha.Hex();
}

std::string Sha256HexOfFile(const std::filesystem::path& path) {
  // Read, not mapped: a model's mapped pages would count as memory in use.
  const RegularFile file = OpenRegularFile(path);
  std::vector<char> buffer(kBufferBytes);
  Sha256 sha;
  while (const std::size_t got = ReadSome(file.descriptor, path, buffer)) {
    ThrowIfCancelled();
    sha.Add(buffer.data(), got);
  }
  return sha.Hex();
}

}  // namespace laconic
