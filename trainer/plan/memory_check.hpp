#pragma once
/// A plan that does not fit into memory is refused before anything starts.

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/host.hpp"
#include "trainer/config/config.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/support/control_groups.hpp"

namespace blocktrain::trainer {

/// Something that bounds what a process can still take.
struct MemoryBound {
  std::string id;                ///< the same for processes of a host that share it
  std::int64_t available = 0;    ///< bytes, of all who share it
  std::int64_t beside_plan = 0;  ///< bytes that each rank takes of it beside its arenas
  std::string what;              ///< "where WHAT leaves 20 MiB", e.g. "memory.max of control group /job"
  std::string remedy;            ///< how to have more, or empty
  bool of_process = false;       ///< nobody shares it but ranks of the same process
};

/// What this process is bound by: the machine's memory, its control groups, and its limit of address space (ulimit -v).
/// A rank computes on `threads` threads (0: they and their scratch are there already); with `ranks_in_process` of them
/// in this process.
std::vector<MemoryBound> memory_bounds(int threads, int ranks_in_process,
                                       const std::vector<ControlGroup>& groups = control_groups());

/// Bytes that programs can still get on this machine without swapping; -1 when the system does not tell.
std::int64_t available_memory_bytes();

/// The most that this process may still take by its control groups: what is left in the tightest; -1 without a limit.
std::int64_t available_in_groups(const std::vector<ControlGroup>& groups);

/// Collective. Throws InputError on a rank where one of its `bounds` leaves less than the ranks that share it have
/// planned, naming both and what would fit: activation checkpointing, or the largest data.micro_batch.
void require_memory(comm::Communicator& world, const comm::HostMap& hosts, const Config& config,
                    const blocks::SampleLayout& data, const Plan& plan, const std::vector<MemoryBound>& bounds);

}  // namespace blocktrain::trainer
