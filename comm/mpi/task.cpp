#include "comm/mpi/task.hpp"

#include "comm/wording.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm::mpi {
namespace {
// The engine gives up late tasks itself; this much later it must be stuck in a call of MPI.
constexpr std::chrono::seconds engine_grace{5};
}  // namespace

void Task::arm(const char* call, std::chrono::milliseconds deadline) {
  const std::lock_guard lock(mutex_);
  done_ = false;
  error_ = nullptr;
  call_ = call;
  deadline_ = deadline;
  end_ = deadline_after(deadline);
}

void Task::complete(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  done_ = true;
  error_ = std::move(error);
  completed_.notify_all();
}

void Task::await() {
  std::unique_lock lock(mutex_);
  if (!wait_running(completed_, lock, end_ + engine_grace, [&] { return done_; })) {
    throw RunError("rank " + std::to_string(process_rank()) + ": " + call_ + " failed: MPI did not return for " +
                   seconds_text(deadline_ + engine_grace) + "; other ranks may be dead or the network stuck");
  }
  if (error_) std::rethrow_exception(error_);
}

}  // namespace blocktrain::comm::mpi
