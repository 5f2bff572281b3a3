#pragma once
/// MPI in a test binary that runs under mpirun: started before the first test, ended after the last.

#include "comm/communicator.hpp"

namespace blocktrain::comm::test {

/// All ranks of the job. BLOCKTRAIN_TEST_CHUNK_BYTES in the environment is the longest single message of MPI.
Communicator& mpi_world();

}  // namespace blocktrain::comm::test
