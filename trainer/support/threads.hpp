#pragma once
/// How many threads a rank computes on. Results never depend on it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/host.hpp"
#include "trainer/support/control_groups.hpp"

namespace blocktrain::trainer {

/// The CPUs that this process was given when it started. A library that brings a runtime of OpenMP may bind the first
/// thread to one of them before main() begins (OMP_PROC_BIND); this was read earlier. Ascending; empty where the system
/// does not tell.
const std::vector<int>& cpus_at_start();

/// Lets this process run on all of cpus_at_start() again, whatever was done to it since. Call it first in main().
void use_cpus_at_start() noexcept;

/// What a rank may compute with.
struct ComputeShare {
  std::vector<int> cpus;             ///< its mask
  std::optional<double> quota;       ///< CPUs that its tightest control group allows
  std::string quota_id, quota_name;  ///< that group
};

/// This process's: cpus_at_start() and its control groups (control_groups()).
ComputeShare compute_share(const std::vector<ControlGroup>& groups);

/// What OMP_NUM_THREADS and OMP_THREAD_LIMIT say; 0 where they say nothing. Of a list, which is one number for each
/// depth of nested loops, the first counts.
struct ThreadWishes {
  int threads = 0, most = 0;
};
ThreadWishes thread_wishes(const char* omp_num_threads, const char* omp_thread_limit);

struct ThreadChoice {
  int threads = 1;
  std::string reason;  ///< e.g. "4 ranks share 2 CPUs"
};

/// Threads of rank `me` of those on its host, each with its share. `configured` (parallel.threads) decides, then
/// OMP_NUM_THREADS; else ranks share the CPUs that are in the masks of several of them, and the quota of a control
/// group in which there are several. At least one.
ThreadChoice choose_threads(int configured, const ThreadWishes& wishes, const std::vector<ComputeShare>& on_host,
                            std::size_t me);

/// The same for this rank of `world`: every rank tells what it may have. Collective.
ThreadChoice choose_threads(comm::Communicator& world, const comm::HostMap& hosts, int configured);

/// The same for a process that computes alone.
ThreadChoice choose_threads_alone(int configured);

}  // namespace blocktrain::trainer
