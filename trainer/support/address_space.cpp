#include "trainer/support/address_space.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>

namespace blocktrain::trainer {

std::optional<std::int64_t> address_space_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return static_cast<std::int64_t>(std::min<rlim_t>(limit.rlim_cur, std::numeric_limits<std::int64_t>::max()));
}

std::optional<std::int64_t> address_space_mapped() {
  std::ifstream in("/proc/self/statm");
  std::int64_t pages = 0;
  if (!(in >> pages)) return std::nullopt;
  return pages * sysconf(_SC_PAGESIZE);
}

}  // namespace blocktrain::trainer
