#pragma once
/// What every rank tells about its machine, for the start of a run and its ledger.

#include <vector>

#include "comm/communicator.hpp"
#include "comm/host.hpp"
#include "trainer/ledger/ledger.hpp"
#include "trainer/support/threads.hpp"

namespace blocktrain::trainer {

/// By host, as the first rank of each tells it. Collective.
std::vector<HostFacts> gather_host_facts(comm::Communicator& world, const comm::HostMap& hosts,
                                         const ThreadChoice& threads);

}  // namespace blocktrain::trainer
