#include "trainer/run/threads.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

namespace blocktrain::trainer {

int automatic_threads(int ranks_on_host) {
  const int online = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  int usable = online;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) usable = std::max(1, CPU_COUNT(&set));
  if (usable < online) return usable;
  return std::max(1, online / std::max(1, ranks_on_host));
}

int compute_threads(int configured, int ranks_on_host) {
  return configured > 0 ? configured : automatic_threads(ranks_on_host);
}

}  // namespace blocktrain::trainer
