#pragma once
/// Which ranks share a machine: they share its energy sensors and its GPUs.

#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace blocktrain::comm {

struct HostIdentity {
  std::string hostname;  ///< for people
  std::string key;       ///< equal exactly for processes under one running kernel (its boot id; else the hostname)
};

/// This process's machine. Containers on one machine have different hostnames and the same key. LibraryError if the
/// operating system does not tell its hostname.
HostIdentity this_host();

/// The machines of a communicator's ranks. Hosts are numbered by their lowest rank.
struct HostMap {
  std::vector<int> host_of_rank;
  std::vector<std::vector<int>> ranks_of_host;  ///< ascending
  std::vector<std::string> hostnames;           ///< by host, as its lowest rank calls it

  /// Place of `rank` among the ranks of its host, from 0: the usual choice of a GPU.
  int local_rank(int rank) const;
  /// Ranks on the host of `rank`, itself among them.
  int ranks_beside(int rank) const;
};

/// Collective: every rank tells who it is (control traffic).
HostMap map_hosts(Communicator& communicator, const HostIdentity& self = this_host());

}  // namespace blocktrain::comm
