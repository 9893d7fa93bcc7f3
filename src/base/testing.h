// For tests of any folder: what an Error says, a directory of one's own.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <stdlib.h>

#include "laconic/error.h"

namespace laconic {

// What the Error says that `body` throws, which begins with its code: "not found: ...". "no error" without one.
template <typename Body>
std::string ErrorOf(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// As above; the test fails where there is no error, or one of another code.
template <typename Body>
std::string ErrorOf(ErrorCode code, const Body& body) {
  std::string error = ErrorOf(body);
  EXPECT_THAT(error, ::testing::StartsWith(std::string(ToString(code)) + ": "));
  return error;
}

// A new directory, removed with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "laconic-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw std::runtime_error("mkdtemp failed");
    }
    path_ = pattern;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace laconic
