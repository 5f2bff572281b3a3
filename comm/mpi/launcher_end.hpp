#pragma once
/// The end of mpirun. Told to end a job, it waits for word from its daemons on all hosts, and from a host whose link
/// was cut none comes; it would sit there until the system gives the connection up, which may take a quarter of an
/// hour.

namespace blocktrain::comm::mpi {

/// Whether Open MPI started this job on several hosts.
bool job_has_several_hosts() noexcept;

/// Where this process was started by Open MPI's mpirun on this machine, for a job on several: sees to it that mpirun
/// ends the job and itself within some seconds, with exit code 1. That is done by a process of its own, since mpirun
/// first ends the ranks that it reaches. False where it is not so, or no process can be started: nothing was done.
bool end_launcher() noexcept;

}  // namespace blocktrain::comm::mpi
