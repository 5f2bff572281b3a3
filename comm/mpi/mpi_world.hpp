#pragma once
/// The MPI transport's door. No type of MPI is visible here, and a build without MPI has the same functions: start()
/// then throws InputError.
///
/// One thread per process, started here, makes every call of MPI (MPI_THREAD_FUNNELED): it starts nonblocking
/// operations for the other threads and tests them, so no thread ever blocks inside MPI past its deadline.

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "comm/communicator.hpp"

namespace blocktrain::comm {

struct MpiOptions {
  /// Deadline that world() starts with.
  std::chrono::milliseconds deadline{std::chrono::seconds(300)};
  /// How long MPI_Init may take.
  std::chrono::milliseconds start_deadline{std::chrono::seconds(120)};
  /// How long finish() waits for the other ranks to come to their end as well, and then for MPI_Finalize. Without it:
  /// the deadline that world() has by then.
  std::optional<std::chrono::milliseconds> finish_deadline;
  /// Longest single MPI message; more is cut into several (MPI counts in int). The same on all ranks.
  std::size_t chunk_bytes = std::size_t{1} << 30;
};

namespace mpi {
class Engine;
}

/// MPI, from MPI_Init to MPI_Finalize. One per process and once: MPI cannot be started again.
///
/// Use: MpiWorld lives outside the try block that runs the work; whoever catches an error prints it and calls
/// world().abort(exit code), since the other ranks may be waiting; all others call finish().
class MpiWorld {
 public:
  /// True if this build can start MPI.
  static bool available();
  /// The MPI library's own description, for `blocktrain doctor`; empty without MPI. Does not initialise MPI.
  static std::string library_version();
  /// Initialises MPI and calls set_process_rank. Throws InputError in a build without MPI, RunError past the deadline.
  static std::unique_ptr<MpiWorld> start(const MpiOptions& options = {});
  /// finish(), if that was not called; a failure prints one line and ends the process with code 1, and so does
  /// destruction by an exception (the whole job then, as by abort).
  ~MpiWorld();
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  /// All ranks of the job.
  Communicator& world() { return *world_; }

  /// Ends MPI: sends what was posted, waits until all ranks are here, finalizes. All communicators are dead then.
  /// Throws RunError naming the missing ranks past the deadline; MPI is then left as it is, and the process should end
  /// by world().abort().
  void finish();

 private:
  MpiWorld();

  std::shared_ptr<mpi::Engine> engine_;
  std::unique_ptr<Communicator> world_;
  std::optional<std::chrono::milliseconds> finish_deadline_;
  int exceptions_at_start_ = 0;
  bool finished_ = false;
};

}  // namespace blocktrain::comm
