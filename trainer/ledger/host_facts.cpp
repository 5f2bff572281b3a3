#include <sched.h>
#include <unistd.h>

#include <fstream>

#include "trainer/ledger/ledger.hpp"

namespace blocktrain::trainer {

HostFacts this_host() {
  HostFacts facts;
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) == 0) facts.hostname = name;
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; facts.cpu.empty() && std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) facts.cpu = line.substr(colon + 2);
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) facts.cores = CPU_COUNT(&set);
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) facts.memory_bytes = std::int64_t{pages} * page;
  return facts;
}

}  // namespace blocktrain::trainer
