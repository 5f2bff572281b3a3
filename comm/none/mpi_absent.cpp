// The MPI transport of a build without MPI: the same functions, and a clear answer.

#include "comm/mpi/mpi_world.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm {

MpiWorld::MpiWorld() = default;
MpiWorld::~MpiWorld() = default;

bool MpiWorld::available() { return false; }

std::string MpiWorld::library_version() { return {}; }

std::unique_ptr<MpiWorld> MpiWorld::start(const MpiOptions&) {
  throw InputError(
      "this blocktrain was built without MPI: start it without mpirun (all blocks then train in one process), or "
      "install MPI (Debian: libopenmpi-dev openmpi-bin) and build again with -DBLOCKTRAIN_MPI=ON");
}

void MpiWorld::finish() {}

}  // namespace blocktrain::comm
