// CPU limits of Linux control groups, as container engines set them.
#pragma once

#include <filesystem>
#include <optional>

namespace laconic {

// CPUs that the calling process's group, or a group above it, may use at a time: cgroup v2's cpu.max, v1's
// cpu.cfs_quota_us / cpu.cfs_period_us. Null where nothing limits them or nothing can be read.
// `mounts`: where the hierarchies are; `groups`: the process's list of its groups (proc(5), "/proc/[pid]/cgroup"). A
// group that cannot be found below its mount (a container sees its own group as the root) counts as the root.
std::optional<double> CgroupCpuLimit(const std::filesystem::path& mounts = "/sys/fs/cgroup",
                                     const std::filesystem::path& groups = "/proc/self/cgroup");

}  // namespace laconic
