#pragma once
/// What Linux's control groups (versions 1 and 2, also side by side) let this process have: containers, batch systems
/// and systemd limit by them, and a process that asks for more is slowed down (CPU) or killed (memory).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace blocktrain::trainer {

/// One group with a limit. The groups above it limit as well.
struct ControlGroup {
  std::string path;                    ///< as the kernel names it, e.g. "/system.slice/slurmstepd.scope/job_7"
  std::string id;                      ///< the same for processes in the same group, in whatever container
  std::optional<double> cpus;          ///< CPU seconds per second
  std::optional<std::int64_t> memory;  ///< bytes
  std::int64_t memory_used = 0;        ///< without file pages that the kernel would give back; where memory is limited
};

/// The groups of this process that limit CPU or memory, innermost first; of version 1 one for each of both. `root`
/// stands before /proc and before the mount points: tests put a made-up tree there. What cannot be read does not limit.
std::vector<ControlGroup> control_groups(const std::string& root = {});

}  // namespace blocktrain::trainer
