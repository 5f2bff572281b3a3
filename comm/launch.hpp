#pragma once
/// How this process was started, from its environment alone: no MPI call is made, so a plain `blocktrain train`
/// never initialises MPI.

#include <functional>
#include <string>

namespace blocktrain::comm {

/// Reads one environment variable; null if it is not set. The default is std::getenv.
using Environment = std::function<const char*(const char* name)>;

/// True if an MPI launcher started this process (mpirun, mpiexec, or srun with a PMI plug-in).
/// Throws InputError if srun started several tasks without one: each would take itself for the whole job.
bool launched_by_mpirun();
bool launched_by_mpirun(const Environment& environment);

}  // namespace blocktrain::comm
