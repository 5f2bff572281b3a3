#pragma once
/// The way of step and work records from the training thread to the service thread of a rank: a ring without locks,
/// with one producer and one consumer, whose memory is taken once. It also knows whether a step or other work is
/// running, so that the coordinator can share out energy that was measured while it ran.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "trainer/ledger/records.hpp"

namespace blocktrain::trainer {

class RecordRing {
 public:
  /// Room for at least `capacity` records. push() waits at most `deadline` for room.
  RecordRing(std::size_t capacity, std::chrono::milliseconds deadline);

  // Training thread. Nothing here allocates.

  /// A step begins now; returns its busy_begin.
  std::int64_t begin_step() { return begin(); }
  /// Work that is no step begins now; returns its busy_begin.
  std::int64_t begin_work() { return begin(); }
  /// Hands over the record of the step that began last; the thread is idle from then on. Throws RunError when the
  /// service thread has not made room within the deadline.
  void push(const StepRecord& record);
  /// Hands over the records of steps that were taken together since the step that began last, all at once.
  void push(std::span<const StepRecord> records);
  /// The same for the work that began last.
  void push(const WorkRecord& record);
  /// The step that began last ended without a record (it failed).
  void abandon_step();

  // Service thread.

  /// Appends all records that have arrived to steps and work of `out`; returns the mark to send behind them.
  BusyMark drain(LedgerPacket& out, std::int32_t rank);

 private:
  static constexpr std::int64_t idle = 0;
  static constexpr std::int64_t starting = -1;

  struct Slot {
    BusyPurpose purpose = BusyPurpose::step;  ///< which of the two it holds
    StepRecord step;
    WorkRecord work;
  };

  std::int64_t begin();
  /// Count of records pushed so far, once `records` slots behind them are free.
  std::size_t wait_for_room(std::int32_t rank, std::size_t records = 1);
  void publish(std::size_t pushed);

  std::vector<Slot> slots_;
  std::size_t mask_;
  std::chrono::milliseconds deadline_;
  alignas(64) std::atomic<std::size_t> pushed_{0};
  alignas(64) std::atomic<std::size_t> drained_{0};
  alignas(64) std::atomic<std::int64_t> busy_since_{idle};
};

}  // namespace blocktrain::trainer
