#include "trainer/ledger/energy/powercap.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {

namespace fs = std::filesystem;

namespace {

/// No CPU package takes more. A counter that went down and would have needed more to wrap was reset instead.
constexpr double largest_watts = 5000;
/// Counters move about once a millisecond, so power over a shorter time means nothing.
constexpr double shortest_seconds = 0.01;

/// Contents of a small file without trailing white space; errno as `error` when it cannot be read.
std::string read_text(const std::string& path, int& error) {
  error = 0;
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) {
    error = errno;
    return {};
  }
  char buffer[128];
  const ssize_t size = ::read(file.get(), buffer, sizeof buffer);
  if (size < 0) {
    error = errno;
    return {};
  }
  std::string text(buffer, static_cast<std::size_t>(size));
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.pop_back();
  return text;
}

bool parse(const std::string& text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

/// Reads a counter; returns why not, or an empty string.
std::string read_counter(const std::string& path, std::uint64_t& value) {
  int error = 0;
  const std::string text = read_text(path, error);
  if (error == EACCES || error == EPERM) {
    return "no permission to read " + path + "; an administrator can allow it until the next boot with chmod a+r " +
           path + ", or for good with a udev rule: SUBSYSTEM==\"powercap\", ACTION==\"add\", " +
           "RUN+=\"/bin/chmod a+r /sys%p/energy_uj\"";
  }
  if (error != 0) return "cannot read " + path + ": " + std::strerror(error);
  if (!parse(text, value)) return path + " holds \"" + text + "\", not a number of microjoules";
  return {};
}

/// Numbers of colon-separated parts after "intel-rapl:", e.g. 2 for "intel-rapl:0:1"; 0 when it is not such a name.
int zone_depth(const std::string& name) {
  constexpr std::string_view prefix = "intel-rapl:";
  if (!name.starts_with(prefix)) return 0;
  int depth = 0;
  bool digit = false;
  for (const char c : name.substr(prefix.size())) {
    if (c == ':') {
      if (!digit) return 0;
      ++depth;
      digit = false;
    } else if (c >= '0' && c <= '9') {
      digit = true;
    } else {
      return 0;
    }
  }
  return digit ? depth + 1 : 0;
}

std::vector<std::string> zones_in(const fs::path& folder, int depth) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (zone_depth(name) == depth) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string zone_name(const fs::path& zone) {
  int error = 0;
  return read_text((zone / "name").string(), error);
}

}  // namespace

PowercapSensor::PowercapSensor(const std::string& root, EnergySource source) : source_(source) { find_zones(root); }

void PowercapSensor::find_zones(const std::string& root) {
  std::size_t packages = 0;
  std::vector<fs::path> found;
  for (const std::string& package : zones_in(root, 1)) {
    const fs::path folder = fs::path(root) / package;
    if (!zone_name(folder).starts_with("package")) continue;  // psys
    ++packages;
    if (source_ == EnergySource::cpu) found.push_back(folder);
    if (source_ != EnergySource::dram) continue;
    // The kernel shows parts twice: inside their package and beside it. Names are unique, so a set holds each once.
    std::set<std::string> seen;
    for (const fs::path& parent : {folder, fs::path(root)}) {
      for (const std::string& part : zones_in(parent, 2)) {
        if (part.starts_with(package + ":") && seen.insert(part).second && zone_name(parent / part) == "dram") {
          found.push_back(parent / part);
        }
      }
    }
  }
  if (packages == 0) {
    reason_ = "no powercap RAPL under " + root + ": a virtual machine, a container without it, or a CPU without it";
    return;
  }
  if (source_ == EnergySource::dram && found.size() != packages) {
    reason_ = found.empty() ? "RAPL of this CPU has no dram zone under " + root
                            : "RAPL under " + root + " has dram zones in only " + std::to_string(found.size()) +
                                  " of " + std::to_string(packages) + " packages";
    return;
  }
  for (const fs::path& folder : found) {
    Zone zone{(folder / "energy_uj").string()};
    int error = 0;
    if (!parse(read_text((folder / "max_energy_range_uj").string(), error), zone.range)) zone.range = 0;
    zones_.push_back(std::move(zone));
  }
}

EnergyReading PowercapSensor::fail(std::string reason) {
  reason_ = std::move(reason);
  return {std::nullopt, reason_};
}

EnergyReading PowercapSensor::read(std::int64_t now) {
  if (!reason_.empty()) return {std::nullopt, reason_};
  std::uint64_t added = 0;
  for (Zone& zone : zones_) {
    std::uint64_t value = 0;
    if (std::string reason = read_counter(zone.counter, value); !reason.empty()) return fail(std::move(reason));
    if (started_ && value < zone.last) {
      if (zone.range < zone.last)
        return fail(zone.counter + " went backwards, and its max_energy_range_uj is not known");
      const std::uint64_t delta = zone.range - zone.last + value;
      const double seconds = std::max(static_cast<double>(now - last_time_) * 1e-9, shortest_seconds);
      if (static_cast<double>(delta) * 1e-6 > largest_watts * seconds) {
        return fail(zone.counter + " was set back (the machine slept, or a driver was reloaded)");
      }
      added += delta;
    } else if (started_) {
      added += value - zone.last;
    }
    zone.last = value;
  }
  started_ = true;
  last_time_ = now;
  microjoules_ += added;
  return {static_cast<double>(microjoules_) * 1e-6, {}};
}

std::vector<std::string> PowercapSensor::files() const {
  std::vector<std::string> files;
  for (const Zone& zone : zones_) files.push_back(zone.counter);
  return files;
}

}  // namespace blocktrain::trainer
