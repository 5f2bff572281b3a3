#include "trainer/ledger/record_ring.hpp"

#include <bit>
#include <string>
#include <thread>

#include "kernels/error.hpp"
#include "kernels/running_clock.hpp"

namespace blocktrain::trainer {

RecordRing::RecordRing(std::size_t capacity, std::chrono::milliseconds deadline)
    : slots_(std::bit_ceil(capacity < 2 ? std::size_t{2} : capacity)), mask_(slots_.size() - 1), deadline_(deadline) {}

std::int64_t RecordRing::begin() {
  // `starting` is visible before the clock is read: a mark taken in between then promises nothing, instead of
  // calling this thread idle at a time after the step began.
  busy_since_.store(starting, std::memory_order_seq_cst);
  const std::int64_t begin = monotonic_ns();
  busy_since_.store(begin, std::memory_order_release);
  return begin;
}

std::size_t RecordRing::wait_for_room(std::int32_t rank, std::size_t records) {
  BLOCKTRAIN_EXPECTS(records <= slots_.size());
  const std::size_t at = pushed_.load(std::memory_order_relaxed);
  const auto full = [&] { return at - drained_.load(std::memory_order_acquire) > slots_.size() - records; };
  if (full()) {
    const auto end = RunningClock::now() + deadline_;
    while (full()) {
      if (RunningClock::now() >= end) {
        throw RunError("rank " + std::to_string(rank) + ": the ledger took no step records for " +
                       std::to_string(deadline_.count()) + " ms; the service thread of this rank is stuck");
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
  return at;
}

void RecordRing::push(const StepRecord& record) { push(std::span(&record, 1)); }

void RecordRing::push(std::span<const StepRecord> records) {
  std::size_t at = wait_for_room(records.front().rank, records.size());
  for (const StepRecord& record : records) {
    Slot& slot = slots_[at++ & mask_];
    slot.purpose = BusyPurpose::step;
    slot.step = record;
  }
  publish(at);
}

void RecordRing::push(const WorkRecord& record) {
  const std::size_t at = wait_for_room(record.rank);
  Slot& slot = slots_[at & mask_];
  slot.purpose = record.purpose;
  slot.work = record;
  publish(at + 1);
}

void RecordRing::publish(std::size_t pushed) {
  pushed_.store(pushed, std::memory_order_release);
  busy_since_.store(idle, std::memory_order_release);
}

void RecordRing::abandon_step() { busy_since_.store(idle, std::memory_order_release); }

BusyMark RecordRing::drain(LedgerPacket& out, std::int32_t rank) {
  // In this order: whatever ends before the state is read is in the ring when it is emptied below.
  const std::int64_t time = monotonic_ns();
  const std::int64_t state = busy_since_.load(std::memory_order_seq_cst);
  BusyMark mark{rank, 0, state == starting ? 0 : time, state == starting ? idle : state};
  std::size_t at = drained_.load(std::memory_order_relaxed);
  const std::size_t end = pushed_.load(std::memory_order_acquire);
  for (; at != end; ++at) {
    const Slot& slot = slots_[at & mask_];
    const bool is_step = slot.purpose == BusyPurpose::step;
    const std::int64_t begin = is_step ? slot.step.busy_begin : slot.work.busy_begin;
    if (begin == mark.busy_since) mark.busy_since = idle;  // it ended while we looked
    if (is_step) {
      out.steps.push_back(slot.step);
    } else {
      out.work.push_back(slot.work);
    }
  }
  drained_.store(end, std::memory_order_release);
  return mark;
}

}  // namespace blocktrain::trainer
