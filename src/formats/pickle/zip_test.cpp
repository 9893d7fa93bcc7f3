#include "formats/pickle/zip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "formats/pickle/zip_for_test.h"

namespace laconic::pickle {
namespace {

using ::testing::HasSubstr;

std::map<std::string, ZipEntry, std::less<>> Parse(const std::string& archive) {
  return ParseZip(std::as_bytes(std::span(archive.data(), archive.size())));
}

std::string ErrorOf(const std::string& archive) {
  return laconic::ErrorOf([&] { Parse(archive); });
}

// `archive` with `bytes` written at `offset` of its first `record`.
std::string Patch(std::string archive, std::string_view record, std::size_t offset, const std::string& bytes) {
  return archive.replace(archive.find(record) + offset, bytes.size(), bytes);
}

constexpr std::string_view kCentral = "PK\1\2";
constexpr std::string_view kEnd = "PK\5\6";
constexpr std::string_view kEnd64 = "PK\6\6";
constexpr std::string_view kLocator = "PK\6\7";

TEST(ZipTest, EntriesAreFound) {
  for (const bool zip64 : {false, true}) {
    const std::string archive = MakeZip({{"a", "hello"}, {"b/c", ""}, {"d", "world"}}, zip64);
    // The last comment looks like an end record whose comment has another length.
    for (const std::string& comment :
         {std::string(), std::string("of 2\0\0", 6), std::string(kEnd) + "of 2, padded to a record"}) {
      const std::string bytes = Patch(archive, kEnd, 20, LittleEndian(comment.size(), 2)) + comment;
      const auto entries = Parse(bytes);
      ASSERT_EQ(entries.size(), 3U);
      EXPECT_EQ(bytes.substr(static_cast<std::size_t>(entries.at("a").offset_bytes), 5), "hello");
      EXPECT_EQ(bytes.substr(static_cast<std::size_t>(entries.at("d").offset_bytes), 5), "world");
      EXPECT_EQ(entries.at("d").size_bytes, 5);
      EXPECT_EQ(entries.at("b/c").size_bytes, 0);
    }
  }
  EXPECT_TRUE(Parse(MakeZip({})).empty());
}

TEST(ZipTest, EveryTruncationIsRefused) {
  for (const bool zip64 : {false, true}) {
    const std::string archive = MakeZip({{"a", "hello"}, {"b", "world"}}, zip64);
    for (std::size_t size = 0; size < archive.size(); ++size) {
      EXPECT_THAT(ErrorOf(archive.substr(0, size)), HasSubstr("cut off")) << size;
    }
  }
}

TEST(ZipTest, RecordsOutsideTheArchiveAreRefused) {
  const std::string archive = MakeZip({{"a", "hello"}});
  EXPECT_THAT(ErrorOf(Patch(archive, kEnd, 16, LittleEndian(0xfffffff0, 4))), HasSubstr("end inside a record"));
  EXPECT_THAT(ErrorOf(Patch(archive, kEnd, 16, LittleEndian(1, 4))), HasSubstr("expected the record of entry 0"));
  EXPECT_THAT(ErrorOf(Patch(archive, kEnd, 10, LittleEndian(2, 2))), HasSubstr("expected the record of entry 1"));
  EXPECT_THAT(ErrorOf(Patch(archive, kCentral, 42, LittleEndian(1, 4))), HasSubstr("no local record"));
  EXPECT_THAT(ErrorOf(Patch(archive, kCentral, 42, LittleEndian(0xffffffff, 4))), HasSubstr("end inside a record"));
  EXPECT_THAT(ErrorOf(Patch(archive, kCentral, 20, LittleEndian(500, 4) + LittleEndian(500, 4))),
              HasSubstr("end inside a record of 500 bytes"));
  const std::string wide = MakeZip({{"a", "hello"}}, true);
  EXPECT_THAT(ErrorOf(Patch(wide, kLocator, 8, LittleEndian(1, 8))), HasSubstr("no ZIP64 end record"));
  EXPECT_THAT(ErrorOf(Patch(wide, kLocator, 8, LittleEndian(UINT64_MAX, 8))), HasSubstr("end inside a record"));
  EXPECT_THAT(ErrorOf(Patch(wide, kEnd64, 48, LittleEndian(UINT64_MAX, 8))), HasSubstr("end inside a record"));
  EXPECT_THAT(ErrorOf(Patch(wide, kEnd64, 32, LittleEndian(UINT64_MAX, 8))),
              HasSubstr("expected the record of entry 1"));
}

TEST(ZipTest, WhatTorchDoesNotWriteIsRefused) {
  const std::string archive = MakeZip({{"a", "hello"}});
  EXPECT_THAT(ErrorOf(Patch(archive, kCentral, 8, LittleEndian(1, 2))), HasSubstr("encrypted"));
  EXPECT_THAT(ErrorOf(Patch(archive, kCentral, 10, LittleEndian(8, 2))), HasSubstr("compressed"));
  EXPECT_THAT(ErrorOf(Patch(archive, kCentral, 20, LittleEndian(4, 4))), HasSubstr("compressed"));
  EXPECT_THAT(ErrorOf(Patch(archive, kEnd, 4, LittleEndian(1, 2))), HasSubstr("several disks"));
}

TEST(ZipTest, EntriesThatShareANameOrBytesAreRefused) {
  EXPECT_THAT(ErrorOf(MakeZip({{"a", "hello"}, {"a", "world"}})),
              HasSubstr("two entries of the ZIP archive are named 'a'"));
  // The second central record points to the first entry.
  std::string archive = MakeZip({{"a", "hello"}, {"b", "world"}});
  archive.replace(archive.rfind(kCentral) + 42, 4, LittleEndian(0, 4));
  EXPECT_THAT(ErrorOf(archive), HasSubstr("overlap"));
}

}  // namespace
}  // namespace laconic::pickle
