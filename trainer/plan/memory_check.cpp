#include "trainer/plan/memory_check.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <span>
#include <sstream>

#include "kernels/cpu/cpu_facts.hpp"
#include "kernels/error.hpp"
#include "trainer/support/address_space.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/support/units.hpp"

namespace blocktrain::trainer {
namespace {

// What a rank takes beside its arenas, measured on small runs of one rank and rounded up. Of memory: HDF5, MPI, the
// buffers of checkpoints, and the part of the ops' scratch that is ever touched.
constexpr std::int64_t libraries_bytes = 12 << 20;
constexpr std::int64_t scratch_touched_bytes = 2 << 20;
// Of address space: what libraries map, of which little is ever touched, and threads' stacks.
constexpr std::int64_t libraries_mapped_bytes = 128 << 20;
constexpr std::int64_t service_threads = 6;

std::int64_t stack_bytes() {
  struct rlimit limit {};
  constexpr std::int64_t usual = 8 << 20;
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return usual;
  return static_cast<std::int64_t>(std::min<rlim_t>(limit.rlim_cur, rlim_t{1} << 32));
}

std::int64_t planned_on(const Plan& plan, const std::vector<int>& ranks) {
  std::int64_t sum = 0;
  for (const int r : ranks) {
    sum += static_cast<std::int64_t>(plan.ranks[static_cast<std::size_t>(r)].bytes.on_host(plan.on_gpu));
  }
  return sum;
}

/// What to change, in words: activation checkpointing, the largest micro-batch that fits, both, or more machines.
std::string advice(const Config& config, const blocks::SampleLayout& data, const Plan& plan,
                   const std::vector<int>& ranks, std::int64_t available) {
  const auto fits = [&](const Config& changed) {
    return planned_on(make_plan(changed, data, plan.world), ranks) <= available;
  };
  const auto smaller_passes = [&](Config changed) -> std::string {
    for (std::int64_t micro = plan.micro_batch / 2; micro >= 1; micro /= 2) {
      changed.data.micro_batch = micro;
      if (fits(changed)) return "data.micro_batch=" + std::to_string(micro);
    }
    return {};
  };
  const std::string option = "parallel.activation_checkpointing=layer";
  const bool keeps_all = config.parallel.activation_checkpointing == ActivationCheckpointing::none;
  Config checkpointed = config;
  checkpointed.parallel.activation_checkpointing = ActivationCheckpointing::layer;

  const std::string passes = smaller_passes(config);
  // The option first: it leaves the weights as they are, where passes of another size round otherwise.
  if (keeps_all && fits(checkpointed)) return option + (passes.empty() ? "" : " or " + passes) + " would fit";
  if (!passes.empty()) return passes + " would fit";
  if (keeps_all) {
    const std::string both = smaller_passes(checkpointed);
    if (!both.empty()) return option + " with " + both + " would fit";
  }
  return "no data.micro_batch would fit; use more machines, more blocks, or a narrower model";
}

}  // namespace

std::int64_t available_memory_bytes() {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string key;
    std::int64_t kib = -1;
    if (words >> key >> kib && key == "MemAvailable:") return kib * 1024;
  }
  return -1;
}

std::int64_t available_in_groups(const std::vector<ControlGroup>& groups) {
  std::int64_t least = -1;
  for (const ControlGroup& group : groups) {
    if (!group.memory) continue;
    const std::int64_t left = std::max<std::int64_t>(0, *group.memory - group.memory_used);
    if (least < 0 || left < least) least = left;
  }
  return least;
}

std::vector<MemoryBound> memory_bounds(int threads, int ranks_in_process, const std::vector<ControlGroup>& groups) {
  std::vector<MemoryBound> bounds;
  if (const std::int64_t machine = available_memory_bytes(); machine >= 0) {
    bounds.push_back({"machine", machine, 0, "the machine", ""});
  }
  for (const ControlGroup& group : groups) {
    if (!group.memory) continue;
    bounds.push_back(
        {"group " + group.id, std::max<std::int64_t>(0, *group.memory - group.memory_used),
         libraries_bytes + threads * scratch_touched_bytes,
         fmt::format("control group {} ({} in all)", group.path, bytes(static_cast<double>(*group.memory))),
         "give it more (Slurm: --mem, Docker: --memory), or: "});
  }
  const std::optional<std::int64_t> most = address_space_limit(), mapped = address_space_mapped();
  if (most && mapped) {
    const auto scratch = static_cast<std::int64_t>(kernels::cpu_scratch_bytes(threads));
    bounds.push_back(
        {"process " + std::to_string(getpid()), std::max<std::int64_t>(0, *most - *mapped),
         libraries_mapped_bytes / ranks_in_process + (threads > 0 ? scratch : 0) +
             (threads + service_threads) * stack_bytes(),
         fmt::format("the limit of address space (ulimit -v, {} in all)", bytes(static_cast<double>(*most))),
         "raise it (ulimit -v unlimited), or: ", true});
  }
  return bounds;
}

void require_memory(comm::Communicator& world, const comm::HostMap& hosts, const Config& config,
                    const blocks::SampleLayout& data, const Plan& plan, const std::vector<MemoryBound>& bounds) {
  std::string mine;  // a line for each: beside the plan, available, id
  for (const MemoryBound& b : bounds) mine += fmt::format("{} {} {}\n", b.beside_plan, b.available, b.id);
  const auto all = world.all_gather(std::as_bytes(std::span(mine)), comm::TrafficPurpose::control);
  all_or_none(world, [&] {
    const auto host = static_cast<std::size_t>(hosts.host_of_rank[static_cast<std::size_t>(world.rank())]);
    for (const MemoryBound& bound : bounds) {
      std::vector<int> ranks;
      std::int64_t beside = 0, available = bound.available;
      for (const int r : hosts.ranks_of_host[host]) {
        const std::vector<std::byte>& told = all[static_cast<std::size_t>(r)];
        std::istringstream lines(std::string(reinterpret_cast<const char*>(told.data()), told.size()));
        std::int64_t theirs = 0, left = 0;
        for (std::string id; lines >> theirs >> left && std::getline(lines >> std::ws, id);) {
          if (id != bound.id) continue;
          ranks.push_back(r);
          beside += theirs;
          available = std::min(available, left);
        }
      }
      const std::int64_t planned = planned_on(plan, ranks);
      if (planned + beside <= available) continue;
      const auto text = [](std::int64_t n) { return bytes(static_cast<double>(n)); };
      throw InputError("the plan needs " + text(planned) +
                       (beside > 0 ? " and the program itself about " + text(beside) : std::string()) + " on " +
                       hosts.hostnames[host] + " (" + std::to_string(ranks.size()) +
                       (ranks.size() == 1 ? " rank" : " ranks") + "), where " +
                       (bound.id == "machine" ? text(available) + " are available: "
                                              : bound.what + " leaves " + text(available) + ": " + bound.remedy) +
                       advice(config, data, plan, ranks, available - beside));
    }
  });
}

}  // namespace blocktrain::trainer
