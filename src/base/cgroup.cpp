#include "base/cgroup.h"

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace laconic {
namespace {
namespace fs = std::filesystem;

// v2: "quota period" or "max period".
std::optional<double> LimitOfV2(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) {
    return std::nullopt;
  }
  return std::strtod(quota.c_str(), nullptr) / period;
}

// v1: a quota of -1 where there is none.
std::optional<double> LimitOfV1(const fs::path& group) {
  std::ifstream quota_file(group / "cpu.cfs_quota_us");
  std::ifstream period_file(group / "cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) {
    return std::nullopt;
  }
  return quota / period;
}

using LimitFn = std::optional<double> (*)(const fs::path& group);

// The smallest limit from `root` / `group` up to `root`.
std::optional<double> SmallestLimit(const fs::path& root, const fs::path& group, LimitFn limit_of) {
  fs::path path = root;
  std::optional<double> smallest = limit_of(path);
  for (const fs::path& name : group.relative_path()) {
    path /= name;
    const std::optional<double> limit = limit_of(path);
    if (limit && (!smallest || *limit < *smallest)) {
      smallest = limit;
    }
  }
  return smallest;
}

// "4:cpu,cpuacct:/a/b" names the v1 hierarchy's mount and the group; v2's line is "0::/a/b".
struct Group {
  std::string controllers;
  std::string path;
};

std::vector<Group> ReadGroups(const fs::path& file) {
  std::ifstream lines(file);
  std::vector<Group> groups;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second != std::string::npos) {
      groups.push_back({line.substr(first + 1, second - first - 1), line.substr(second + 1)});
    }
  }
  return groups;
}

bool HasCpu(const std::string& controllers) { return ("," + controllers + ",").find(",cpu,") != std::string::npos; }

}  // namespace

std::optional<double> CgroupCpuLimit(const fs::path& mounts, const fs::path& groups) {
  std::vector<std::optional<double>> limits = {LimitOfV2(mounts), LimitOfV1(mounts / "cpu")};
  for (const Group& group : ReadGroups(groups)) {
    if (group.controllers.empty()) {
      limits.push_back(SmallestLimit(mounts, group.path, LimitOfV2));
    } else if (HasCpu(group.controllers)) {
      limits.push_back(SmallestLimit(mounts / group.controllers, group.path, LimitOfV1));
      // RHEL 7 lists "cpuacct,cpu", but mounts "cpu,cpuacct" and links "cpu" to it.
      limits.push_back(SmallestLimit(mounts / "cpu", group.path, LimitOfV1));
    }
  }
  std::optional<double> smallest;
  for (const std::optional<double>& limit : limits) {
    if (limit && (!smallest || *limit < *smallest)) {
      smallest = limit;
    }
  }
  return smallest;
}

}  // namespace laconic
