#pragma once
/// A plan that does not fit into memory is refused before anything starts.

#include "comm/communicator.hpp"
#include "comm/host.hpp"
#include "trainer/config/config.hpp"
#include "trainer/run/plan.hpp"

namespace blocktrain::trainer {

/// Bytes that programs can still get on this machine without swapping; -1 when the system does not tell.
std::int64_t available_memory_bytes();

/// Collective. Throws InputError on a rank whose machine has less memory available than its ranks have planned, naming
/// both and what would fit: activation checkpointing, or the largest data.micro_batch.
void require_memory(comm::Communicator& world, const comm::HostMap& hosts, const Config& config, const DataShape& data,
                    const Plan& plan, std::int64_t available_bytes);

}  // namespace blocktrain::trainer
