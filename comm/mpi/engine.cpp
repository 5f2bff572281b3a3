#include "comm/mpi/engine.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "comm/mpi/launcher_end.hpp"
#include "comm/wording.hpp"
#include "kernels/error.hpp"
#include "kernels/start_thread.hpp"

namespace blocktrain::comm::mpi {
namespace {

// How the engine waits. Sleeping a 16th of the time nothing has happened for keeps what sleeping adds to any wait
// below about 6%, and costs almost no processor time; the bounds were chosen with bench/comm on 4 ranks of 2 cores.
using std::chrono::microseconds;
// Sleeping, never sched_yield: on a busy machine a thread that yields waits for a time slice of everybody else, while
// one that wakes from sleep runs soon.
constexpr microseconds spin_time{20};  // polling without a pause, while a task waits
constexpr microseconds shortest_sleep{20};
constexpr microseconds longest_sleep_with_tasks{1000};
constexpr microseconds longest_sleep_idle{2000};
constexpr int sleep_share = 16;

constexpr std::chrono::seconds abort_patience{5};
constexpr std::chrono::seconds launcher_patience{3};
// What was posted before abort() has this long to leave, for there may be ranks that do not take theirs.
constexpr std::chrono::milliseconds abort_drain{200};

using Pace = std::chrono::steady_clock;

}  // namespace

Channel::Channel(const Peers& collectives, MPI_Comm messages_communicator)
    : peers(collectives),
      messages(messages_communicator),
      mailbox(messages_communicator, collectives.rank, collectives.size, collectives.chunk_bytes) {}

std::shared_ptr<Engine> Engine::start(const MpiOptions& options) {
  // Open MPI yields inside every test of a request when ranks outnumber cores, which the pacing here does better (see
  // above). Set before the engine's thread exists, as the environment is not for several threads; other MPI libraries
  // do not know this variable.
  if (setenv("OMPI_MCA_mpi_yield_when_idle", "0", 1) != 0) {
    throw_library_error("setenv", __FILE__, __LINE__, std::strerror(errno));
  }
  std::shared_ptr<Engine> engine(new Engine(options));
  engine->requests_.reserve(64);
  engine->taken_.reserve(64);
  engine->thread_ = start_thread_with_signals("MPI", [engine] { engine->thread_main(); });
  std::unique_lock lock(engine->mutex_);
  if (!wait_running(engine->state_changed_, lock, deadline_after(options.start_deadline),
                    [&] { return engine->state_ != State::starting; })) {
    engine->thread_.detach();
    throw RunError("MPI_Init_thread did not return within " + seconds_text(options.start_deadline) +
                   "; other ranks may not have started");
  }
  if (engine->state_ == State::ended) {
    const std::exception_ptr error = engine->failure_;
    lock.unlock();
    engine->thread_.join();
    std::rethrow_exception(error);
  }
  return engine;
}

void Engine::thread_main() {
  try {
    initialize();
    {
      const std::lock_guard lock(mutex_);
      state_ = State::running;
      state_changed_.notify_all();
    }
    loop();
    finalize();
  } catch (...) {
    fail_everything(std::current_exception());
  }
  const std::lock_guard lock(mutex_);
  state_ = State::ended;
  state_changed_.notify_all();
}

void Engine::initialize() {
  // Sleeps of 20 us are the point of the pacing; the default slack of 50 us would blur them. Failing costs latency
  // only.
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  int initialized = 0;
  BLOCKTRAIN_MPI(MPI_Initialized(&initialized));
  if (initialized) throw RunError("MPI was started before in this process; it can only be started once");
  int provided = MPI_THREAD_SINGLE;
  BLOCKTRAIN_MPI(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided));
  if (provided < MPI_THREAD_FUNNELED) {
    throw RunError("this MPI library does not offer MPI_THREAD_FUNNELED (it offers level " + std::to_string(provided) +
                   "); one built with threads is needed");
  }
  BLOCKTRAIN_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  BLOCKTRAIN_MPI(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN));
  int rank = 0;
  BLOCKTRAIN_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  set_process_rank(rank);
  MPI_Comm copy = MPI_COMM_NULL;
  BLOCKTRAIN_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &copy));
  world_ = open_channel(copy);
}

std::shared_ptr<Channel> Engine::open_channel(MPI_Comm communicator) {
  Peers peers;
  peers.communicator = communicator;
  peers.chunk_bytes = options_.chunk_bytes;
  BLOCKTRAIN_MPI(MPI_Comm_set_errhandler(communicator, MPI_ERRORS_RETURN));
  BLOCKTRAIN_MPI(MPI_Comm_rank(communicator, &peers.rank));
  BLOCKTRAIN_MPI(MPI_Comm_size(communicator, &peers.size));
  MPI_Comm messages = MPI_COMM_NULL;
  BLOCKTRAIN_MPI(MPI_Comm_dup(communicator, &messages));
  BLOCKTRAIN_MPI(MPI_Comm_set_errhandler(messages, MPI_ERRORS_RETURN));
  auto channel = std::make_shared<Channel>(peers, messages);
  const std::lock_guard lock(mutex_);
  channels_.push_back(channel);
  return channel;
}

void Engine::run(const std::shared_ptr<Task>& task, const char* call, std::chrono::milliseconds deadline) {
  task->arm(call, deadline);
  {
    const std::lock_guard lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
    if (state_ != State::running || stopping_) {
      throw RunError("rank " + std::to_string(process_rank()) + ": " + call + " was called after MPI was finalized");
    }
    requests_.push_back(task);
    work_came_ = true;
    woken_.notify_one();
  }
  task->await();
}

void Engine::wake() {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  work_came_ = true;
  woken_.notify_one();
}

std::vector<std::shared_ptr<Channel>> Engine::channels() {
  const std::lock_guard lock(mutex_);
  return channels_;
}

void Engine::loop() {
  auto last_progress = Pace::now();
  while (true) {
    std::optional<int> abort_code;
    {
      const std::lock_guard lock(mutex_);
      abort_code = abort_code_;
      if (stopping_ && requests_.empty() && tasks_.empty()) return;
    }
    // Without the lock: abort() needs it to notice that MPI_Abort hangs. Should it come back, abort() ends the process.
    if (abort_code) BLOCKTRAIN_MPI(MPI_Abort(MPI_COMM_WORLD, *abort_code));
    bool progressed = take_requests();
    progressed |= advance_tasks();
    progressed |= advance_mailboxes();
    drain_abandoned();
    const auto now = Pace::now();
    if (progressed) {
      last_progress = now;
      continue;
    }
    const bool waiting = !tasks_.empty() || anything_busy_;
    if (!waiting || now - last_progress >= spin_time) sleep(waiting, now - last_progress);
  }
}

bool Engine::take_requests() {
  {
    const std::lock_guard lock(mutex_);
    taken_.swap(requests_);
    polled_ = channels_;
  }
  const bool any = !taken_.empty();
  for (std::shared_ptr<Task>& task : taken_) tasks_.push_back(std::move(task));
  taken_.clear();
  return any;
}

bool Engine::advance_tasks() {
  bool finished_any = false;
  for (auto task = tasks_.begin(); task != tasks_.end();) {
    std::exception_ptr error;
    bool finished = false;
    try {
      finished = (*task)->advance();
      if (!finished && (*task)->is_late()) throw RunError((*task)->late_text());
    } catch (...) {
      error = std::current_exception();
    }
    if (!finished && !error) {
      ++task;
      continue;
    }
    if (error) {
      try {
        (*task)->give_up();
      } catch (...) {
        // The first error is the one to tell; the task's buffers stay in abandoned_.
      }
      abandoned_.push_back(*task);
    }
    (*task)->complete(error);
    task = tasks_.erase(task);
    finished_any = true;
  }
  return finished_any;
}

void Engine::drain_abandoned() {
  std::erase_if(abandoned_, [](const std::shared_ptr<Task>& task) {
    try {
      return task->drained();
    } catch (...) {
      return false;  // reported when the task failed; its buffers stay
    }
  });
}

bool Engine::advance_mailboxes() {
  bool moved = false;
  anything_busy_ = false;
  for (const std::shared_ptr<Channel>& channel : polled_) {
    try {
      moved |= channel->mailbox.advance();
    } catch (...) {
      channel->mailbox.fail(std::current_exception());
    }
    anything_busy_ |= channel->mailbox.busy();
  }
  return moved;
}

void Engine::sleep(bool waiting, std::chrono::nanoseconds since_progress) {
  const auto longest = waiting ? longest_sleep_with_tasks : longest_sleep_idle;
  const auto wanted = std::chrono::duration_cast<microseconds>(since_progress / sleep_share);
  std::unique_lock lock(mutex_);
  woken_.wait_for(lock, std::clamp(wanted, shortest_sleep, longest), [&] { return work_came_; });
  work_came_ = false;
}

void Engine::fail_everything(std::exception_ptr error) {
  std::vector<std::shared_ptr<Task>> waiting;
  {
    const std::lock_guard lock(mutex_);
    failure_ = error;
    waiting.swap(requests_);
    polled_ = channels_;
  }
  for (const auto& task : waiting) task->complete(error);
  for (const auto& task : tasks_) task->complete(error);
  for (const auto& channel : polled_) channel->mailbox.fail(error);
}

void Engine::finalize() {
  // Not when their owners go: MPI_Comm_free is collective, and here the order is the same on all ranks.
  polled_.clear();
  for (const std::shared_ptr<Channel>& channel : channels()) {
    MPI_Comm collectives = channel->peers.communicator;
    MPI_Comm messages = channel->messages;
    BLOCKTRAIN_MPI(MPI_Comm_free(&messages));
    BLOCKTRAIN_MPI(MPI_Comm_free(&collectives));
  }
  BLOCKTRAIN_MPI(MPI_Finalize());
}

void Engine::stop(std::chrono::milliseconds deadline) {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  work_came_ = true;
  woken_.notify_one();
  if (!wait_running(state_changed_, lock, deadline_after(deadline), [&] { return state_ == State::ended; })) {
    lock.unlock();
    thread_.detach();
    throw RunError("rank " + std::to_string(process_rank()) + ": MPI_Finalize did not return within " +
                   seconds_text(deadline) + "; other ranks may be dead");
  }
  const std::exception_ptr error = failure_;
  lock.unlock();
  if (thread_.joinable()) thread_.join();
  if (error) std::rethrow_exception(error);
  // What is called from now on says so, rather than wait for a thread that is gone.
  const auto ended = std::make_exception_ptr(RunError("MPI was finalized"));
  for (const auto& channel : channels()) channel->mailbox.fail(ended);
}

void Engine::abort(int exit_code) {
  for (const auto& channel : channels()) {
    try {
      channel->mailbox.flush(abort_drain);
    } catch (const std::exception&) {
      // Whoever does not take what was posted is not waited for.
    }
  }
  // After MPI_Abort mpirun would wait for hosts that it cannot reach; ended by one of its own host it always says 1. A
  // rank of another host gives those there the time to do so, who have noticed, too, if a rank is lost.
  if (exit_code == 1 && job_has_several_hosts()) {
    const bool ending = end_launcher();
    std::this_thread::sleep_for(ending ? abort_patience : launcher_patience);
    if (ending) _exit(exit_code);
  }
  {
    std::unique_lock lock(mutex_);
    abort_code_ = exit_code;
    work_came_ = true;
    woken_.notify_one();
    // MPI_Abort ends the process from the engine's thread, unless that thread hangs in MPI or has ended.
    wait_running(state_changed_, lock, deadline_after(abort_patience), [&] { return state_ == State::ended; });
  }
  _exit(exit_code);
}

}  // namespace blocktrain::comm::mpi
