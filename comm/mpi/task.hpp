#pragma once
/// Something a thread asks the engine thread to carry out, and waits for. Tasks are made once and used again, so that
/// a caller that has to avoid allocation can.

#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>

#include "comm/deadline.hpp"

namespace blocktrain::comm::mpi {

class Task {
 public:
  virtual ~Task() = default;

  // Engine thread.
  /// Does what can be done without blocking; true when finished. An exception ends the task.
  virtual bool advance() = 0;
  /// What to say when the deadline has passed.
  virtual std::string late_text(const char* call, std::chrono::milliseconds deadline) const = 0;
  /// Called instead of further advance() once the task was given up: cancels what it can.
  virtual void give_up() {}
  /// After give_up: true when MPI no longer uses the task's buffers.
  virtual bool drained() { return true; }
  void complete(std::exception_ptr error);
  bool is_late() const { return RunningClock::now() > end_; }
  std::string late_text() const { return late_text(call_, deadline_); }

  // Calling thread.
  /// Prepares for one use. `call` is a name that outlives the task.
  void arm(const char* call, std::chrono::milliseconds deadline);
  /// Returns when the engine has completed the task, throws what made it fail; RunError if the engine itself does not
  /// answer some seconds after the deadline (it then hangs inside MPI).
  void await();

 private:
  std::mutex mutex_;
  std::condition_variable completed_;
  bool done_ = false;
  std::exception_ptr error_;
  const char* call_ = "";
  std::chrono::milliseconds deadline_{0};
  RunningClock::time_point end_;
};

}  // namespace blocktrain::comm::mpi
