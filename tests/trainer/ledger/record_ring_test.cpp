// The ring between the training thread and the service thread.
#include "trainer/ledger/record_ring.hpp"

#include <array>
#include <boost/test/unit_test.hpp>
#include <thread>

#include "kernels/error.hpp"
#include "tests/support/counting_new.hpp"

using namespace blocktrain::trainer;

namespace {

constexpr std::chrono::milliseconds patience{30'000};

StepRecord record_of(std::int64_t step, std::int64_t busy_begin) {
  StepRecord record;
  record.step = step;
  record.tokens = 3 * step;
  record.busy_begin = busy_begin;
  record.busy_end = monotonic_ns();
  return record;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(record_ring)

BOOST_AUTO_TEST_CASE(records_of_steps_that_were_taken_together_arrive_together) {
  constexpr std::size_t count = 20'000, together = 3;
  RecordRing ring(16, patience);
  std::thread training([&ring] {
    for (std::size_t step = 0; step < count; ++step) {
      const std::int64_t begin = ring.begin_step();
      const std::array<StepRecord, together> records{record_of(1, begin), record_of(2, begin + 1),
                                                     record_of(3, begin + 2)};
      ring.push(records);
    }
  });
  LedgerPacket packet;
  while (packet.steps.size() < count * together) {
    const std::size_t before = packet.steps.size();
    const BusyMark mark = ring.drain(packet, 5);
    const bool whole = packet.steps.size() % together == 0;
    // The last of them has ended where the mark says that the thread is idle.
    const bool idle = mark.time == 0 || mark.busy_since != 0 || packet.steps.size() == before ||
                      packet.steps.back().step == static_cast<std::int64_t>(together);
    if (!whole || !idle) BOOST_CHECK_MESSAGE(false, "a part of them came at " << packet.steps.size());
    std::this_thread::yield();
  }
  training.join();
  for (std::size_t i = 0; i < packet.steps.size(); ++i) {
    BOOST_REQUIRE_EQUAL(packet.steps[i].step, static_cast<std::int64_t>(i % together) + 1);
  }
}

BOOST_AUTO_TEST_CASE(records_arrive_whole_and_in_order_while_both_threads_work) {
  constexpr std::int64_t count = 20'000;
  RecordRing ring(16, patience);
  std::thread training([&ring] {
    for (std::int64_t step = 0; step < count; ++step) ring.push(record_of(step, ring.begin_step()));
  });
  LedgerPacket packet;
  std::vector<StepRecord>& records = packet.steps;
  std::int64_t last_mark = 0;
  bool ordered = true, truthful = true;
  while (records.size() < count) {
    const std::size_t before = records.size();
    const BusyMark mark = ring.drain(packet, 5);
    if (mark.time != 0) {
      ordered = ordered && mark.time >= last_mark && mark.rank == 5;
      // What is reported after a mark has begun after it, or is the step that the mark names.
      for (std::size_t i = before; i < records.size() && before > 0; ++i) {
        truthful = truthful && records[i].busy_begin >= records[before - 1].busy_end;
      }
      last_mark = mark.time;
    }
    std::this_thread::yield();
  }
  training.join();
  BOOST_CHECK(ordered);
  BOOST_CHECK(truthful);
  BOOST_REQUIRE_EQUAL(records.size(), std::size_t{count});
  for (std::int64_t step = 0; step < count; ++step) {
    const StepRecord& record = records[static_cast<std::size_t>(step)];
    BOOST_REQUIRE(record.step == step && record.tokens == 3 * step);
  }
}

BOOST_AUTO_TEST_CASE(no_step_hides_behind_a_mark) {
  constexpr std::int64_t count = 20'000;
  RecordRing ring(64, patience);
  std::thread training([&ring] {
    for (std::int64_t step = 0; step < count; ++step) {
      const std::int64_t begin = ring.begin_step();
      if (step % 7 == 3) {
        ring.abandon_step();
        ring.begin_step();
        ring.abandon_step();
      }
      ring.push(record_of(step, begin));
    }
  });
  LedgerPacket packet;
  std::vector<StepRecord>& records = packet.steps;
  BusyMark mark;  // the one before
  std::size_t hidden = 0, seen = 0;
  while (seen < count) {
    const BusyMark next = ring.drain(packet, 0);
    for (const StepRecord& record : records) {
      if (mark.time != 0 && record.step % 7 != 3 && record.busy_begin < mark.time &&
          record.busy_begin != mark.busy_since)
        ++hidden;
    }
    seen += records.size();
    records.clear();
    mark = next;
  }
  training.join();
  BOOST_CHECK_EQUAL(hidden, 0u);
}

BOOST_AUTO_TEST_CASE(a_mark_tells_of_the_running_step) {
  RecordRing ring(4, patience);
  LedgerPacket packet;
  std::vector<StepRecord>& records = packet.steps;
  BOOST_CHECK_EQUAL(ring.drain(packet, 0).busy_since, 0);
  const std::int64_t begin = ring.begin_step();
  BusyMark mark = ring.drain(packet, 0);
  BOOST_CHECK_EQUAL(mark.busy_since, begin);
  BOOST_CHECK_GE(mark.time, begin);
  ring.push(record_of(0, begin));
  BOOST_CHECK_EQUAL(ring.drain(packet, 0).busy_since, 0);
  BOOST_CHECK_EQUAL(records.size(), 1u);
  ring.begin_step();
  ring.abandon_step();
  BOOST_CHECK_EQUAL(ring.drain(packet, 0).busy_since, 0);
}

BOOST_AUTO_TEST_CASE(work_goes_the_way_of_steps) {
  RecordRing ring(4, patience);
  LedgerPacket packet;
  ring.push(record_of(0, ring.begin_step()));
  const std::int64_t begin = ring.begin_work();
  BOOST_CHECK_EQUAL(ring.drain(packet, 0).busy_since, begin);
  ring.push(WorkRecord{3, 0, BusyPurpose::checkpoint, {}, begin, monotonic_ns()});
  BOOST_CHECK_EQUAL(ring.drain(packet, 0).busy_since, 0);
  BOOST_CHECK_EQUAL(packet.steps.size(), 1u);
  BOOST_REQUIRE_EQUAL(packet.work.size(), 1u);
  BOOST_CHECK(packet.work[0].purpose == BusyPurpose::checkpoint);
  BOOST_CHECK_EQUAL(packet.work[0].rank, 3);
  BOOST_CHECK_EQUAL(packet.work[0].busy_begin, begin);
}

BOOST_AUTO_TEST_CASE(a_full_ring_ends_in_an_error_not_in_a_hang) {
  RecordRing ring(4, std::chrono::milliseconds(20));
  for (int i = 0; i < 4; ++i) ring.push(record_of(i, ring.begin_step()));
  BOOST_CHECK_THROW(ring.push(record_of(4, 0)), blocktrain::RunError);
  LedgerPacket packet;
  std::vector<StepRecord>& records = packet.steps;
  ring.drain(packet, 0);
  BOOST_CHECK_EQUAL(records.size(), 4u);
  ring.push(record_of(4, 0));
  ring.drain(packet, 0);
  BOOST_CHECK_EQUAL(records.back().step, 4);
}

BOOST_AUTO_TEST_CASE(the_training_thread_allocates_nothing) {
  RecordRing ring(1024, patience);
  const long before = test::allocations_of_this_thread();
  for (int i = 0; i < 500; ++i) {
    ring.push(record_of(i, ring.begin_step()));
    const std::int64_t begin = ring.begin_work();
    ring.push(WorkRecord{0, 0, BusyPurpose::evaluation, {}, begin, monotonic_ns()});
  }
  BOOST_CHECK_EQUAL(test::allocations_of_this_thread() - before, 0);
  LedgerPacket packet;
  ring.drain(packet, 0);
  BOOST_CHECK_GT(test::allocations_of_this_thread() - before, 0);  // so the count does count
}

BOOST_AUTO_TEST_SUITE_END()
