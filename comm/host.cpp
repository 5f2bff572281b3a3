#include "comm/host.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "kernels/error.hpp"

namespace blocktrain::comm {

HostIdentity this_host() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0) {
    throw_library_error("gethostname", __FILE__, __LINE__, std::strerror(errno));
  }
  HostIdentity host;
  host.hostname = name;
  std::ifstream boot_id("/proc/sys/kernel/random/boot_id");
  if (!std::getline(boot_id, host.key) || host.key.empty()) host.key = host.hostname;
  return host;
}

int HostMap::ranks_beside(int rank) const {
  const int host = host_of_rank.at(static_cast<std::size_t>(rank));
  return static_cast<int>(ranks_of_host.at(static_cast<std::size_t>(host)).size());
}

int HostMap::local_rank(int rank) const {
  const std::vector<int>& ranks =
      ranks_of_host.at(static_cast<std::size_t>(host_of_rank.at(static_cast<std::size_t>(rank))));
  return static_cast<int>(std::find(ranks.begin(), ranks.end(), rank) - ranks.begin());
}

HostMap map_hosts(Communicator& communicator, const HostIdentity& self) {
  const std::string mine = self.key + '\n' + self.hostname;
  const auto all = communicator.all_gather(std::as_bytes(std::span(mine)), TrafficPurpose::control);
  HostMap map;
  std::vector<std::string> keys;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const std::string text(reinterpret_cast<const char*>(all[rank].data()), all[rank].size());
    const std::size_t cut = text.find('\n');
    const std::string key = text.substr(0, cut);
    auto found = std::find(keys.begin(), keys.end(), key);
    if (found == keys.end()) {
      keys.push_back(key);
      map.hostnames.push_back(cut == std::string::npos ? key : text.substr(cut + 1));
      map.ranks_of_host.emplace_back();
      found = keys.end() - 1;
    }
    const auto host = static_cast<std::size_t>(found - keys.begin());
    map.host_of_rank.push_back(static_cast<int>(host));
    map.ranks_of_host[host].push_back(static_cast<int>(rank));
  }
  return map;
}

}  // namespace blocktrain::comm
