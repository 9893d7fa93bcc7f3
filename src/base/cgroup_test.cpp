#include "base/cgroup.h"

#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "base/testing.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;

class CgroupTest : public ::testing::Test {
 protected:
  void Write(const fs::path& file, const std::string& text) const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  std::optional<double> Limit() const { return CgroupCpuLimit(root_ / "mounts", root_ / "groups"); }

  const TemporaryDirectory directory_;
  const fs::path root_ = directory_.path();
};

TEST_F(CgroupTest, NothingToRead) { EXPECT_EQ(Limit(), std::nullopt); }

TEST_F(CgroupTest, VersionTwoTakesTheTightestGroupAbove) {
  Write("groups", "0::/slice/unit/leaf\n");
  Write("mounts/slice/unit/leaf/cpu.max", "max 100000\n");
  EXPECT_EQ(Limit(), std::nullopt);
  Write("mounts/slice/unit/cpu.max", "150000 100000\n");
  EXPECT_EQ(Limit(), 1.5);
  Write("mounts/slice/cpu.max", "50000 100000\n");
  EXPECT_EQ(Limit(), 0.5);
}

// In a container the root of the mount is the container's group, whatever the list of groups says.
TEST_F(CgroupTest, VersionTwoInAContainer) {
  Write("groups", "0::/../../outside\n");
  Write("mounts/cpu.max", "300000 100000\n");
  EXPECT_EQ(Limit(), 3.0);
}

TEST_F(CgroupTest, VersionOne) {
  Write("groups", "7:memory:/a\n4:cpu,cpuacct:/a/b\n0::/\n");
  Write("mounts/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  Write("mounts/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  Write("mounts/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
  Write("mounts/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Limit(), std::nullopt);
  Write("mounts/cpu,cpuacct/a/b/cpu.cfs_quota_us", "250000\n");
  Write("mounts/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Limit(), 2.5);
}

TEST_F(CgroupTest, VersionOneUnderAnotherName) {
  Write("groups", "4:cpuacct,cpu:/a\n");
  Write("mounts/cpu/a/cpu.cfs_quota_us", "50000\n");
  Write("mounts/cpu/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Limit(), 0.5);
}

TEST_F(CgroupTest, MalformedFilesLimitNothing) {
  Write("groups", "no colons\n0:\n1:cpu\n0::\n");
  Write("mounts/cpu.max", "many\n");
  Write("mounts/cpu/cpu.cfs_quota_us", "5\n");
  Write("mounts/cpu/cpu.cfs_period_us", "0\n");
  EXPECT_EQ(Limit(), std::nullopt);
}

}  // namespace
}  // namespace laconic
