#include "base/file.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/sha256.h"
#include "base/staging.h"
#include "base/testing.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;
using ::testing::StartsWith;

class FileTest : public ::testing::Test {
 protected:
  std::int64_t NumEntries() const { return std::distance(fs::directory_iterator(root_), fs::directory_iterator()); }
  const TemporaryDirectory directory_;
  const fs::path root_ = directory_.path();
};

TEST_F(FileTest, RefusesWhatIsNotARegularFile) {
  ASSERT_EQ(::mkfifo((root_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf([&] { ReadFile(root_ / "fifo", 10); }), StartsWith("invalid argument: "));
  EXPECT_THAT(ErrorOf([&] { ReadFile("/dev/zero", 10); }), StartsWith("invalid argument: "));
  EXPECT_THAT(ErrorOf([&] { ReadFile(root_, 10); }), StartsWith("invalid argument: "));
  EXPECT_THAT(ErrorOf([&] { ReadFile(root_ / "none", 10); }), StartsWith("not found: "));
}

TEST_F(FileTest, SaysWhetherThereIsAnything) {
  EXPECT_TRUE(Exists(root_));
  EXPECT_TRUE(IsDirectory(root_));
  EXPECT_FALSE(Exists(root_ / "none"));
  fs::create_symlink("loop", root_ / "loop");
  EXPECT_THAT(ErrorOf([&] { Exists(root_ / "loop"); }), StartsWith("i/o: "));
  EXPECT_THAT(ErrorOf([&] { IsDirectory(root_ / std::string(300, 'x')); }), StartsWith("i/o: "));
}

TEST_F(FileTest, WhatCameToBeMeanwhileIsKept) {
  AtomicFile file(root_ / "file", false);
  AtomicDirectory directory(root_ / "directory", false);
  std::ofstream(root_ / "file") << "precious";
  fs::create_directory(root_ / "directory");
  EXPECT_THAT(ErrorOf([&] { file.Commit(); }), StartsWith("invalid argument: "));
  EXPECT_THAT(ErrorOf([&] { directory.Commit(); }), StartsWith("invalid argument: "));
  EXPECT_EQ(ReadFile(root_ / "file", 100), "precious");
}

TEST_F(FileTest, WhatIsBeingWrittenCanBeRemovedAtOnce) {
  std::ofstream(root_ / "old") << "precious";
  const AtomicFile file(root_ / "file", false);
  const AtomicDirectory directory(root_ / "directory", false);
  for (int i = 0; i < 200; ++i) {  // more than one read of a directory gives
    std::ofstream(directory.staging() / (std::to_string(i) + std::string(40, 'x'))) << "half";
  }
  AtomicFile done(root_ / "done", false);
  done.Commit();
  EXPECT_EQ(NumEntries(), 4);
  RemoveStaging();
  EXPECT_EQ(NumEntries(), 2);  // old and done
}

TEST_F(FileTest, WhatKilledWritersLeftIsRemoved) {
  const AtomicFile living(root_ / "file", false);
  for (const char* name :
       {".file.partial-0123456789abcdef", ".file.partial-fresh", ".other.partial-0123456789abcdef"}) {
    std::ofstream(root_ / name) << "half";
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(root_)) {
    if (!entry.path().string().ends_with("fresh")) {
      fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - std::chrono::hours(1));
    }
  }
  EXPECT_EQ(NumEntries(), 4);
  RemoveAbandoned(root_ / "file");
  EXPECT_EQ(NumEntries(), 3);
  EXPECT_FALSE(fs::exists(root_ / ".file.partial-0123456789abcdef"));
  RemoveAbandoned(root_ / "nowhere" / "file");
}

TEST_F(FileTest, DigestsAreThoseOfFips180) {
  std::ofstream(root_ / "abc") << "abc";
  constexpr std::string_view kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(Sha256HexOfFile(root_ / "abc"), kAbc);
  const std::string million(1'000'000, 'a');
  constexpr std::string_view kMillion = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  EXPECT_EQ(Sha256Hex(std::as_bytes(std::span(million))), kMillion);
  std::ofstream(root_ / "long") << million << million << million;
  const std::string long_text = million + million + million;
  EXPECT_EQ(Sha256HexOfFile(root_ / "long"), Sha256Hex(std::as_bytes(std::span(long_text))));  // several buffers
}

TEST_F(FileTest, NothingIsLeftWithoutCommit) {
  {
    AtomicFile file(root_ / "out", false);
    file.Write("half");
    AtomicDirectory directory(root_ / "model", false);
    std::ofstream(directory.staging() / "part") << "half";
  }
  EXPECT_EQ(NumEntries(), 0);
}

TEST_F(FileTest, ANewDirectoryMayEndWithASlash) {
  AtomicDirectory directory(root_ / "model/", false);
  directory.Commit();
  EXPECT_TRUE(fs::is_directory(root_ / "model"));
  EXPECT_EQ(NumEntries(), 1);
}

TEST_F(FileTest, CommitPutsTheWholeFileInPlace) {
  AtomicFile file(root_ / "out", false);
  file.Write("whole");
  EXPECT_FALSE(fs::exists(root_ / "out"));
  file.Commit();
  EXPECT_EQ(ReadFile(root_ / "out", 100), "whole");
  EXPECT_EQ(NumEntries(), 1);
}

TEST_F(FileTest, ExistingOutputNeedsForce) {
  std::ofstream(root_ / "out") << "old";
  fs::create_directory(root_ / "model");
  std::ofstream(root_ / "model" / "stale") << "old";
  EXPECT_THAT(ErrorOf([&] { AtomicFile(root_ / "out", false); }), StartsWith("invalid argument: "));
  EXPECT_THAT(ErrorOf([&] { AtomicDirectory(root_ / "model", false); }), StartsWith("invalid argument: "));
  AtomicDirectory directory(root_ / "model/", true);
  std::ofstream(directory.staging() / "fresh") << "new";
  directory.Commit();
  EXPECT_FALSE(fs::exists(root_ / "model" / "stale"));
  EXPECT_TRUE(fs::exists(root_ / "model" / "fresh"));
  EXPECT_EQ(NumEntries(), 2);
}

}  // namespace
}  // namespace laconic
