#include "trainer/support/control_groups.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>

namespace blocktrain::trainer {
namespace {

/// A mounted hierarchy: the group at `root` of it is seen at `point`.
struct Mount {
  std::string root, point;
  std::vector<std::string> controllers;  ///< of version 1
};

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, by);) parts.push_back(part);
  return parts;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Names in /proc/self/mountinfo have spaces and the like as \ooo.
std::string unescaped(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    if (text[i] == '\\' && i + 3 < text.size()) {
      const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 4, code, 8);
      if (error == std::errc{} && end == text.data() + i + 4) {
        out += static_cast<char>(code);
        i += 3;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

/// Mounts of the given type ("cgroup" or "cgroup2"), of version 1 those with `controller`.
std::optional<Mount> find_mount(const std::string& root, const std::string& type, const std::string& controller) {
  std::ifstream in(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> words = split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");  // behind a varying number of optional fields
    if (words.size() < 5 || words.end() - dash < 4 || *(dash + 1) != type) continue;
    Mount mount{unescaped(words[3]), unescaped(words[4]), split(*(dash + 3), ',')};
    if (controller.empty() || contains(mount.controllers, controller)) return mount;
  }
  return std::nullopt;
}

/// The path of this process's group in the hierarchy of a version 1 controller, or of version 2 ("").
std::optional<std::string> path_of(const std::string& root, const std::string& controller) {
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {  // "4:memory:/path", of version 2 "0::/path"
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? names.empty() : contains(split(names, ','), controller)) return line.substr(second + 1);
  }
  return std::nullopt;
}

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (!std::getline(in, line)) return std::nullopt;
  return line;
}

std::optional<std::int64_t> integer(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  std::int64_t value = 0;
  const char* const end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc{} || rest != end) return std::nullopt;  // "max"
  return value;
}

/// A limit in bytes; version 1 writes "none" as the largest number of whole pages.
std::optional<std::int64_t> bytes_limit(const std::string& path) {
  const std::optional<std::int64_t> limit = integer(first_line(path));
  if (!limit || *limit < 0 || *limit >= std::int64_t{1} << 60) return std::nullopt;
  return limit;
}

/// `key` of a file of lines "key number"; 0 where it is not there.
std::int64_t statistic(const std::string& path, std::string_view key) {
  std::ifstream in(path);
  std::string name;
  for (std::int64_t value = 0; in >> name >> value;) {
    if (name == key) return value;
  }
  return 0;
}

std::optional<double> share(std::optional<std::int64_t> quota, std::optional<std::int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

void read_memory(ControlGroup& group, const std::string& folder, const char* usage, const char* inactive) {
  if (!group.memory) return;
  // Pages of files that nobody used lately are counted as used, but are given back before anybody is killed.
  group.memory_used = std::max<std::int64_t>(
      0, integer(first_line(folder + usage)).value_or(0) - statistic(folder + "/memory.stat", inactive));
}

void read_v2(ControlGroup& group, const std::string& folder) {
  std::istringstream words(first_line(folder + "/cpu.max").value_or(""));
  std::string quota, period;
  if (words >> quota >> period) group.cpus = share(integer(quota), integer(period));
  group.memory = bytes_limit(folder + "/memory.max");
  // Above memory.high a process is not killed but slowed down until it hardly moves.
  const std::optional<std::int64_t> high = bytes_limit(folder + "/memory.high");
  if (high && (!group.memory || *high < *group.memory)) group.memory = high;
  read_memory(group, folder, "/memory.current", "inactive_file");
}

void read_v1_memory(ControlGroup& group, const std::string& folder) {
  group.memory = bytes_limit(folder + "/memory.limit_in_bytes");
  read_memory(group, folder, "/memory.usage_in_bytes", "total_inactive_file");
}

void read_v1_cpu(ControlGroup& group, const std::string& folder) {
  group.cpus =
      share(integer(first_line(folder + "/cpu.cfs_quota_us")), integer(first_line(folder + "/cpu.cfs_period_us")));
}

/// The group's own folder and those above it, as far as they are mounted.
void climb(const std::string& root, const Mount& mount, const std::string& path,
           void (*read)(ControlGroup&, const std::string&), std::vector<ControlGroup>& groups) {
  // A container sees its hierarchy from its own group on; the path may be that of the machine all the same.
  std::string below = path;
  if (mount.root != "/" && below.starts_with(mount.root)) below = below.substr(mount.root.size());
  if (below == "/") below.clear();
  while (true) {
    const std::string folder = root + mount.point + below;
    struct stat status {};
    if (stat(folder.c_str(), &status) == 0) {
      ControlGroup group;
      group.path = below.empty() ? "/" : below;
      group.id = std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
      read(group, folder);
      if (group.cpus || group.memory) groups.push_back(std::move(group));
    }
    if (below.empty()) return;
    const std::size_t slash = below.rfind('/');
    below.resize(slash == std::string::npos ? 0 : slash);
  }
}

}  // namespace

std::vector<ControlGroup> control_groups(const std::string& root) {
  std::vector<ControlGroup> groups;
  const auto look = [&](const char* type, const char* controller, void (*read)(ControlGroup&, const std::string&)) {
    const std::optional<Mount> mount = find_mount(root, type, controller);
    const std::optional<std::string> path = path_of(root, controller);
    if (mount && path) climb(root, *mount, *path, read, groups);
  };
  look("cgroup2", "", read_v2);
  look("cgroup", "cpu", read_v1_cpu);
  look("cgroup", "memory", read_v1_memory);
  return groups;
}

}  // namespace blocktrain::trainer
