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

/// What to change, in words: the largest micro-batch that fits, or more machines.
std::string advice(const Config& config, const DataShape& data, const Plan& plan, const std::vector<int>& ranks,
                   std::int64_t available) {
  for (std::int64_t micro = plan.micro_batch / 2; micro >= 1; micro /= 2) {
    Config smaller = config;
    smaller.data.micro_batch = micro;
    if (planned_on(make_plan(smaller, data, plan.world), ranks) <= available) {
      return "data.micro_batch=" + std::to_string(micro) + " would fit";
    }
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
