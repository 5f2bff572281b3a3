// Shares of what is no step: evaluations and checkpoints.
#include <boost/test/unit_test.hpp>

#include "tests/trainer/ledger/apportioner_bench.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

BOOST_AUTO_TEST_SUITE(energy_apportioner_work)

BOOST_AUTO_TEST_CASE(evaluations_and_checkpoints_are_booked_apart) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.step(0, 0, 300);
  bench.work(0, BusyPurpose::evaluation, 300, 400);
  bench.work(0, BusyPurpose::checkpoint, 400, 450);
  bench.step(0, 500, 600);
  bench.mark(0, 1000);
  bench.energy(100, 0, 1000);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 2u);  // steps alone have rows
  BOOST_CHECK_CLOSE(bench.totals().of(BusyPurpose::step), 40.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().of(BusyPurpose::evaluation), 10.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().of(BusyPurpose::checkpoint), 5.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().idle, 45.0, 1e-9);
  BOOST_CHECK_SMALL(bench.totals().unattributed, 1e-9);
}

BOOST_AUTO_TEST_CASE(work_of_ranks_that_overlaps_shares_and_sums_to_the_measured) {
  Bench bench(ranks_on_one_host(3));
  bench.cpu_only();
  bench.step(0, 0, 600);
  bench.work(1, BusyPurpose::checkpoint, 100, 500);
  bench.work(2, BusyPurpose::evaluation, 200, 400);
  bench.work(2, BusyPurpose::checkpoint, 400, 700);
  for (int rank = 0; rank < 3; ++rank) bench.mark(rank, 1000);
  bench.energy(100, 0, 1000);  // 70 J while something ran, over 1500 ms of all ranks
  BOOST_CHECK_CLOSE(bench.totals().of(BusyPurpose::step), 70.0 * 600 / 1500, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().of(BusyPurpose::evaluation), 70.0 * 200 / 1500, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().of(BusyPurpose::checkpoint), 70.0 * 700 / 1500, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().idle, 30.0, 1e-9);
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(a_long_checkpoint_is_shared_out_while_it_runs) {
  Bench bench(ranks_on_one_host(2));
  bench.cpu_only();
  bench.mark(0, 1000, 100);  // in something since 100: what it is comes with its record
  bench.step(1, 0, 1000);
  bench.energy(190, 0, 1000);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 1u);
  bench.work(0, BusyPurpose::checkpoint, 100, 1500);
  bench.mark(0, 2000);
  bench.mark(1, 2000);
  bench.energy(20, 1000, 2000);
  BOOST_CHECK_CLOSE(bench.totals().of(BusyPurpose::step), 100.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().of(BusyPurpose::checkpoint), 100.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().idle, 10.0, 1e-9);
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(work_that_never_reports_is_unattributed) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.mark(0, 100, 40);  // a checkpoint that failed: its rank ends
  bench.energy(10, 0, 100);
  bench.apportioner.rank_done(0);
  BOOST_CHECK_CLOSE(bench.totals().unattributed, 6.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().idle, 4.0, 1e-9);
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(overdue_work_lets_later_steps_go) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.work(0, BusyPurpose::checkpoint, 0, 90);
  bench.step(0, 90, 100);
  bench.apportioner.tick(11'000 * ms);
  BOOST_CHECK_EQUAL(bench.given.size(), 1u);
  BOOST_CHECK_EQUAL(bench.apportioner.pending(), 0u);
  bench.mark(0, 200);
  bench.energy(10, 0, 100);
  BOOST_CHECK_SMALL(bench.totals().of(BusyPurpose::checkpoint), 1e-9);
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_SUITE_END()
