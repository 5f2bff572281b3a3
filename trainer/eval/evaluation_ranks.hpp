#pragma once
/// The ranks that share an evaluation. Its work is cut into pieces whose results depend on nothing but the piece; rank
/// r of W does pieces r, r + W, ... and rank 0 has all results in the order of the pieces, so that no bit depends on W.
///
/// Ranks do not wait for each other between pieces: rank 0 may be busy with something else while others are phases
/// ahead, and keeps what comes early. Its memory then holds their results; nothing else of theirs.
///
/// No wait is without a deadline. A thread of each rank tells every second or so that its process lives, the others
/// rank 0 and rank 0 the others; who waits gives up on a rank of which nothing was heard for `timeout`. Results and
/// signs of life are messages of the world's communicator (control traffic). With one rank there is no thread and no
/// message.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/error.hpp"
#include "kernels/running_clock.hpp"
#include "trainer/eval/report_progress.hpp"

namespace blocktrain::trainer {

class EvaluationRanks {
 public:
  /// The result of a piece.
  using Bytes = std::vector<std::byte>;

  /// One process alone.
  EvaluationRanks();
  /// All ranks of `world`, which outlives this. `timeout` becomes the deadline of its collectives too. One such object
  /// per world: it takes the messages.
  EvaluationRanks(comm::Communicator& world, std::chrono::milliseconds timeout);
  ~EvaluationRanks();
  EvaluationRanks(const EvaluationRanks&) = delete;
  EvaluationRanks& operator=(const EvaluationRanks&) = delete;

  int rank() const { return world_.rank(); }
  int size() const { return world_.size(); }
  /// Whether this is rank 0, which speaks, writes, and has the results.
  bool leads() const { return rank() == 0; }
  comm::Communicator& world() { return world_; }
  std::chrono::milliseconds timeout() const { return timeout_; }

  /// all_or_none() of these ranks; one process alone keeps the type of its error.
  void together(const std::function<void()>& work);

  /// Does this rank's pieces of `pieces` by `work`. Returns all results by piece on rank 0, when they are there, and
  /// nothing elsewhere, at once. All ranks make the same calls in the same order. `report`, on rank 0, is told how many
  /// results have come. Throws what `work` throws, and RunError naming the rank that was not heard of.
  std::vector<Bytes> run(std::int64_t pieces, const std::function<Bytes(std::int64_t piece)>& work,
                         const ReportProgress& report = {});

  /// Rank 0 lets the others go; they wait for that, so that none leaves while rank 0 may still miss one. After the last
  /// run(), on all ranks. Throws RunError like run().
  void finish();

 private:
  struct Result {
    std::int64_t piece = 0;
    Bytes bytes;
  };

  void serve();
  void tell_alive();
  void take(const comm::Message& message);
  void expect_healthy();
  /// Waits until `ready`, under the lock; gives up when a rank that `owing` names has been silent for too long.
  void wait_for(const std::function<bool()>& ready, const std::function<bool(int rank)>& owing);

  std::unique_ptr<comm::Communicator> alone_;
  comm::Communicator& world_;
  std::chrono::milliseconds timeout_{0};
  std::int64_t phase_ = 0;  ///< of the next run()

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::int64_t, std::vector<Result>> arrived_;  ///< on rank 0, by phase; not yet taken by run()
  std::vector<RunningClock::time_point> heard_;          ///< by rank
  bool let_go_ = false;                                  ///< rank 0 has said so
  std::exception_ptr failure_;                           ///< of the thread

  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

/// The result of a piece that is a few numbers, and the reverse.
template <class T>
EvaluationRanks::Bytes to_bytes(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  EvaluationRanks::Bytes bytes(sizeof(value));
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}
template <class T>
T from_bytes(const EvaluationRanks::Bytes& bytes) {
  static_assert(std::is_trivially_copyable_v<T>);
  BLOCKTRAIN_EXPECTS(bytes.size() == sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

}  // namespace blocktrain::trainer
