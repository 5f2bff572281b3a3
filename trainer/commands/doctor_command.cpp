// blocktrain doctor: what this machine offers, and what is missing.

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/mpi/mpi_world.hpp"
#include "kernels/cpu/cpu_facts.hpp"
#include "kernels/device.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/config/config.hpp"
#include "trainer/ledger/energy/host_sensors.hpp"
#include "trainer/ledger/energy/nvml_session.hpp"
#include "trainer/ledger/ledger.hpp"
#include "trainer/support/address_space.hpp"
#include "trainer/support/control_groups.hpp"
#include "trainer/support/threads.hpp"
#include "trainer/support/units.hpp"
#include "trainer/support/version.hpp"

namespace blocktrain::trainer {
namespace {

struct Finding {
  std::string topic;
  bool ok = false;
  std::string text;
};

/// NVIDIA's management library, which counts the joules of GPUs, and what it says of each GPU.
void examine_nvml(std::vector<Finding>& found) {
  std::string reason;
  const auto session = NvmlSession::open(load_nvml(), reason);
  if (session == nullptr) {
    found.push_back({"nvml", false, reason});
    return;
  }
  const std::vector<NvmlBoard> boards = session->boards();
  const std::string version = session->driver_version();
  found.push_back({"nvml", true,
                   fmt::format("driver {}, {} {}", version.empty() ? "of unknown version" : version, boards.size(),
                               boards.size() == 1 ? "GPU" : "GPUs")});
  for (const NvmlBoard& board : boards) {
    found.push_back({"nvml gpu", board.has_counter,
                     fmt::format("{} {}, {}", board.uuid.empty() ? "UUID unknown" : board.uuid,
                                 board.name.empty() ? "of unknown name" : board.name,
                                 board.has_counter ? "counts its energy" : "no energy counter: " + board.reason)});
  }
}

/// What of the machine's CPUs control groups leave this process, or nothing.
std::string cpu_limits(const std::vector<ControlGroup>& groups) {
  const ComputeShare share = compute_share(groups);
  if (!share.quota) return {};
  return fmt::format("; control group {} allows {:.3g} CPUs", share.quota_name, *share.quota);
}

/// What limits the memory of this process below the machine's: control groups and ulimit -v.
std::string memory_limits(const std::vector<ControlGroup>& groups) {
  std::string text;
  for (const ControlGroup& group : groups) {
    if (!group.memory) continue;
    text += fmt::format("; control group {} allows {}, {} of it taken", group.path,
                        bytes(static_cast<double>(*group.memory)), bytes(static_cast<double>(group.memory_used)));
  }
  if (const auto limit = address_space_limit()) {
    text += "; ulimit -v allows " + bytes(static_cast<double>(*limit)) + " of address space";
  }
  return text;
}

std::vector<Finding> examine() {
  std::vector<Finding> found;
  const HostFacts host = this_host();
  const std::vector<ControlGroup> groups = control_groups();
  found.push_back(
      {"cpu", true, fmt::format("{}, {} cores for this process{}", host.cpu, host.cores, cpu_limits(groups))});
  found.push_back({"memory", true, bytes(static_cast<double>(host.memory_bytes)) + memory_limits(groups)});
  found.push_back({"matrix products", true, kernels::cpu_matrix_products()});
  const ThreadChoice threads = choose_threads_alone(0);
  found.push_back({"threads", true,
                   fmt::format("{} for a single rank with parallel.threads: 0 ({})", threads.threads, threads.reason)});
  const std::string mpi = comm::MpiWorld::library_version();
  found.push_back({"mpi", !mpi.empty(),
                   mpi.empty() ? "this build has no MPI: only the threads transport works. Install Open MPI (Debian: "
                                 "libopenmpi-dev openmpi-bin) and build again"
                               : mpi});
  std::string why;
  const int gpus = kernels::cuda_devices(&why);
  found.push_back(
      {"gpu", gpus > 0,
       gpus > 0 ? std::to_string(gpus) + " visible; " + kernels::cuda_facts() : why + ": everything runs on the CPU"});
  examine_nvml(found);
  for (const auto& sensor : host_sensors(EnergyConfig{}.powercap_root, {})) {
    const EnergyReading r = sensor->read(monotonic_ns());
    const std::string topic = "energy " + std::string(to_string(sensor->source()));
    found.push_back({topic, r.joules.has_value(), r.joules ? "read through " + sensor->name() : r.reason});
  }
  return found;
}

}  // namespace

int doctor_command(const DoctorArguments& arguments) {
  const std::vector<Finding> found = examine();
  if (arguments.json) {
    nlohmann::ordered_json j;
    j["version"] = version();
    for (const Finding& f : found) j["findings"].push_back({{"topic", f.topic}, {"ok", f.ok}, {"text", f.text}});
    fmt::print("{}\n", j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return 0;
  }
  fmt::print("blocktrain {}\n", version());
  for (const Finding& f : found) fmt::print("  {} {:<16} {}\n", f.ok ? "ok     " : "missing", f.topic, f.text);
  return 0;
}

}  // namespace blocktrain::trainer
