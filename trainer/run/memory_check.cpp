#include "trainer/run/memory_check.hpp"

#include <fstream>
#include <limits>
#include <sstream>

#include "kernels/error.hpp"
#include "trainer/run/exit_status.hpp"
#include "trainer/run/units.hpp"

namespace blocktrain::trainer {
namespace {

std::int64_t planned_on(const Plan& plan, const std::vector<int>& ranks) {
  std::int64_t sum = 0;
  for (const int r : ranks) {
    sum += static_cast<std::int64_t>(plan.ranks[static_cast<std::size_t>(r)].bytes.on_host(plan.on_gpu));
  }
  return sum;
}

/// What to change, in words: activation checkpointing, the largest micro-batch that fits, both, or more machines.
std::string advice(const Config& config, const DataShape& data, const Plan& plan, const std::vector<int>& ranks,
                   std::int64_t available) {
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

void require_memory(comm::Communicator& world, const comm::HostMap& hosts, const Config& config, const DataShape& data,
                    const Plan& plan, std::int64_t available_bytes) {
  all_or_none(world, [&] {
    const auto host = static_cast<std::size_t>(hosts.host_of_rank[static_cast<std::size_t>(world.rank())]);
    const std::vector<int>& ranks = hosts.ranks_of_host[host];
    const std::int64_t planned = planned_on(plan, ranks);
    if (available_bytes < 0 || planned <= available_bytes) return;
    throw InputError("the plan needs " + bytes(static_cast<double>(planned)) + " on " + hosts.hostnames[host] + " (" +
                     std::to_string(ranks.size()) + (ranks.size() == 1 ? " rank" : " ranks") + "), where " +
                     bytes(static_cast<double>(available_bytes)) +
                     " are available: " + advice(config, data, plan, ranks, available_bytes));
  });
}

}  // namespace blocktrain::trainer
