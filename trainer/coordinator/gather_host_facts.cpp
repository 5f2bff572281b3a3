#include "trainer/coordinator/gather_host_facts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

namespace blocktrain::trainer {

std::vector<HostFacts> gather_host_facts(comm::Communicator& world, const comm::HostMap& hosts,
                                         const ThreadChoice& threads) {
  const HostFacts mine = this_host();
  // As text: "cores\nthreads\nmemory\nhostname\nreason of the threads\ncpu".
  const std::string text = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", mine.cores, threads.threads, mine.memory_bytes,
                                       mine.hostname, threads.reason, mine.cpu);
  const auto all = world.all_gather(std::as_bytes(std::span(text)), comm::TrafficPurpose::control);
  std::vector<HostFacts> facts;
  for (const std::vector<int>& ranks : hosts.ranks_of_host) {
    const auto& bytes = all[static_cast<std::size_t>(ranks.front())];
    std::string line(bytes.size(), '\0');
    std::memcpy(line.data(), bytes.data(), bytes.size());
    std::vector<std::string> parts;
    for (std::size_t at = 0; at <= line.size();) {
      const std::size_t end = std::min(line.find('\n', at), line.size());
      parts.push_back(line.substr(at, end - at));
      at = end + 1;
    }
    HostFacts f;
    if (parts.size() == 6) {
      f.cores = std::atoi(parts[0].c_str());
      f.threads = std::atoi(parts[1].c_str());
      f.memory_bytes = std::atoll(parts[2].c_str());
      f.hostname = parts[3];
      f.threads_reason = parts[4];
      f.cpu = parts[5];
    }
    f.ranks = static_cast<int>(ranks.size());
    facts.push_back(std::move(f));
  }
  return facts;
}

}  // namespace blocktrain::trainer
