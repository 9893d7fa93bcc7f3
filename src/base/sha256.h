// SHA-256 (FIPS 180-4), by OpenSSL.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace laconic {

std::string Sha256Hex(std::span<const std::byte> bytes);

// Errors: those of OpenRegularFile and ReadSome.
std::string Sha256HexOfFile(const std::filesystem::path& path);

}  // namespace laconic
