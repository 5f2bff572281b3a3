#pragma once
/// A command whose ranks mpirun started.

#include <functional>

#include "comm/communicator.hpp"

namespace blocktrain::trainer {

/// Starts MPI, does `work` on all ranks of the job, and ends MPI. Returns what `work` returns; where it throws, the
/// exit code of that error, which has been said then: InputError is one of all_or_none(), of which the other ranks
/// know; any other error ends the whole job. Throws what MpiWorld::start() throws.
int under_mpi(const std::function<int(comm::Communicator& world)>& work);

}  // namespace blocktrain::trainer
