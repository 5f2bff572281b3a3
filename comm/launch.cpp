#include "comm/launch.hpp"

#include <cstdlib>

#include "kernels/error.hpp"

namespace blocktrain::comm {

bool launched_by_mpirun(const Environment& environment) {
  // Open MPI's mpirun, PMIx (mpirun 5, srun --mpi=pmix), PMI-1 and PMI-2 (MPICH's launcher, srun --mpi=pmi2).
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_FD"}) {
    const char* value = environment(name);
    if (value != nullptr && *value != '\0') return true;
  }
  // Inside a batch script SLURM_STEP_NUM_TASKS is not set (SLURM_PROCID is), so scripts and salloc shells pass.
  const char* tasks = environment("SLURM_STEP_NUM_TASKS");
  if (tasks != nullptr && std::strtol(tasks, nullptr, 10) > 1) {
    throw InputError("srun started " + std::string(tasks) +
                     " tasks without an MPI plug-in, so they cannot find each other; use `srun --mpi=pmix` "
                     "(`srun --mpi=list` shows what this cluster has) or `mpirun`");
  }
  return false;
}

bool launched_by_mpirun() {
  return launched_by_mpirun([](const char* name) { return std::getenv(name); });
}

}  // namespace blocktrain::comm
