#pragma once
/// The one thread that calls MPI. It starts and tests nonblocking operations for the others, sleeps in between, the
/// longer the less happens, and checks deadlines itself.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "comm/mpi/collectives.hpp"
#include "comm/mpi/mailbox.hpp"
#include "comm/mpi/mpi_world.hpp"

namespace blocktrain::comm::mpi {

/// What a Communicator has inside MPI: two communicators of its own, so that messages and collectives never meet.
class Channel {
 public:
  Channel(const Peers& collectives, MPI_Comm messages);

  const Peers peers;  ///< for collectives
  const MPI_Comm messages;
  Mailbox mailbox;
};

class Engine : public std::enable_shared_from_this<Engine> {
 public:
  /// Starts the thread and MPI in it. Throws LibraryError or, past options.start_deadline, RunError.
  static std::shared_ptr<Engine> start(const MpiOptions& options);

  /// The channel of all ranks.
  const std::shared_ptr<Channel>& world() const { return world_; }

  /// Carries out `task` and returns when it has finished, or throws what it failed with.
  void run(const std::shared_ptr<Task>& task, const char* call, std::chrono::milliseconds deadline);
  /// Says that a mailbox was given something.
  void wake();
  /// Channels made so far.
  std::vector<std::shared_ptr<Channel>> channels();
  /// Ends the thread, with MPI_Finalize as its last call. Throws RunError if that takes longer than `deadline`; the
  /// thread is then left behind.
  void stop(std::chrono::milliseconds deadline);
  /// Ends the job without waiting for any rank; _exit if that does not end the process within some seconds.
  [[noreturn]] void abort(int exit_code);

  /// Engine thread: makes a channel of `communicator`, which it takes over. Collective over its ranks.
  std::shared_ptr<Channel> open_channel(MPI_Comm communicator);

 private:
  enum class State { starting, running, ended };

  explicit Engine(const MpiOptions& options) : options_(options) {}
  void thread_main();
  void initialize();
  void loop();
  void finalize();
  bool take_requests();
  bool advance_tasks();
  void drain_abandoned();
  bool advance_mailboxes();
  void sleep(bool waiting, std::chrono::nanoseconds since_progress);
  void fail_everything(std::exception_ptr error);

  const MpiOptions options_;
  std::thread thread_;
  std::shared_ptr<Channel> world_;

  std::mutex mutex_;
  std::condition_variable woken_;          ///< the engine sleeps here
  std::condition_variable state_changed_;  ///< others wait here for `state_`
  State state_ = State::starting;
  bool work_came_ = false;
  bool stopping_ = false;
  std::optional<int> abort_code_;
  std::exception_ptr failure_;
  std::vector<std::shared_ptr<Task>> requests_;
  std::vector<std::shared_ptr<Channel>> channels_;  ///< in order of creation, the same on all their ranks

  // Engine thread alone.
  std::vector<std::shared_ptr<Task>> tasks_;
  std::vector<std::shared_ptr<Task>> taken_;
  std::vector<std::shared_ptr<Task>> abandoned_;  ///< kept while MPI may still write into them
  std::vector<std::shared_ptr<Channel>> polled_;
  bool anything_busy_ = false;
};

}  // namespace blocktrain::comm::mpi
