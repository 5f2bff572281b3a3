// Shares of energy: by hand in small cases, and sums for random ones.
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "kernels/error.hpp"
#include "tests/trainer/ledger/apportioner_bench.hpp"

using namespace blocktrain;
using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

BOOST_AUTO_TEST_SUITE(energy_apportioner)

BOOST_AUTO_TEST_CASE(without_sensors_steps_go_on_at_once_with_reasons) {
  Bench bench(ranks_on_one_host(1));
  for (const auto source : {EnergySource::gpu, EnergySource::cpu, EnergySource::dram}) bench.absent(source);
  bench.step(0, 10, 20);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 1u);
  for (std::size_t i = 0; i < energy_sources; ++i) BOOST_CHECK_EQUAL(bench.given[0].reason[i], "absent");
  BOOST_CHECK(!bench.totals().measured_at_all);
}

BOOST_AUTO_TEST_CASE(steps_share_by_their_time_and_the_rest_is_idle) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.step(0, 100, 300);
  bench.step(0, 300, 350);
  bench.step(0, 900, 1000);
  BOOST_CHECK(bench.given.empty());  // their energy is not known yet
  bench.energy(50, 0, 1000);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 3u);
  BOOST_CHECK_CLOSE(bench.given[0].joules[cpu], 10.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.given[1].joules[cpu], 2.5, 1e-9);
  BOOST_CHECK_CLOSE(bench.given[2].joules[cpu], 5.0, 1e-9);
  BOOST_CHECK_EQUAL(bench.given[0].reason[cpu], "");
  BOOST_CHECK_EQUAL(bench.given[0].reason[dram], "absent");
  BOOST_CHECK_CLOSE(bench.totals().idle, 32.5, 1e-9);
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(ranks_of_a_host_share_what_they_use_together) {
  Bench bench(ranks_on_one_host(2));
  bench.cpu_only();
  bench.step(0, 0, 800);
  bench.energy(100, 0, 1000);
  BOOST_CHECK(bench.given.empty());  // rank 1 may have a step in that time
  bench.mark(0, 1000);
  bench.step(1, 0, 400);
  BOOST_CHECK(bench.given.empty());
  bench.mark(1, 1000);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 2u);
  BOOST_CHECK_CLOSE(bench.given[0].joules[cpu], 80.0 * 800 / 1200, 1e-9);
  BOOST_CHECK_CLOSE(bench.given[1].joules[cpu], 80.0 * 400 / 1200, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().idle, 20.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(hosts_do_not_wait_for_each_other) {
  Bench bench({RankPlace{0}, RankPlace{1}});
  bench.cpu_only(0);
  bench.cpu_only(1);
  bench.energy(10, 0, 100, EnergySource::cpu, 0);
  bench.step(0, 0, 100, 0);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 1u);
  BOOST_CHECK_CLOSE(bench.given[0].joules[cpu], 10.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(a_long_step_holds_up_nobody_and_gets_all_its_shares) {
  Bench bench(ranks_on_one_host(2));
  bench.cpu_only();
  bench.mark(1, 1000, 50);  // rank 1 is in a step since 50
  bench.step(0, 0, 900);
  bench.mark(0, 1000);
  bench.energy(190, 0, 1000);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 1u);
  BOOST_CHECK_CLOSE(bench.given[0].joules[cpu], 190.0 * 900 / 1850, 1e-9);
  bench.mark(0, 2000);
  bench.mark(1, 2000, 50);
  bench.energy(7, 1000, 2000);
  bench.step(1, 50, 2500);
  bench.mark(0, 3000);
  bench.energy(10, 2000, 3000);
  BOOST_CHECK_EQUAL(bench.given.size(), 1u);  // rank 1 may have begun another step before 3000
  bench.mark(1, 3000);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 2u);
  BOOST_CHECK_CLOSE(bench.given[1].joules[cpu], 190.0 * 950 / 1850 + 7 + 5, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().idle, 5.0, 1e-9);
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(a_mark_that_is_older_than_the_records_does_not_bring_a_step_back) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.step(0, 0, 100);
  bench.mark(0, 150, 0);
  bench.mark(0, 160, 20);  // began before the recorded step ended: it is that step
  bench.energy(16, 0, 160);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 1u);
  BOOST_CHECK_CLOSE(bench.given[0].joules[cpu], 10.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().idle, 6.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(a_step_that_never_reports_leaves_its_share_unattributed) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.mark(0, 100, 40);
  bench.energy(10, 0, 100);
  bench.mark(0, 200);
  bench.energy(10, 100, 200);
  BOOST_CHECK_CLOSE(bench.totals().unattributed, 6.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().idle, 14.0, 1e-9);
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(a_step_that_began_before_the_sensor_has_no_joules) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.step(0, 0, 100);
  bench.step(0, 100, 150);
  bench.energy(15, 50, 150);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 2u);
  BOOST_CHECK_NE(bench.given[0].reason[cpu], "");
  BOOST_CHECK_EQUAL(bench.given[0].joules[cpu], 0);
  BOOST_CHECK_EQUAL(bench.given[1].reason[cpu], "");
  BOOST_CHECK_CLOSE(bench.given[1].joules[cpu], 7.5, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals().unattributed, 7.5, 1e-9);
}

BOOST_AUTO_TEST_CASE(a_hole_in_the_samples_costs_the_steps_in_it) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.step(0, 0, 90);
  bench.step(0, 95, 210);
  bench.step(0, 210, 300);
  bench.energy(10, 0, 100);
  bench.energy(10, 200, 300);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 3u);
  BOOST_CHECK_EQUAL(bench.given[0].reason[cpu], "");
  BOOST_CHECK_NE(bench.given[1].reason[cpu], "");
  BOOST_CHECK_EQUAL(bench.given[2].reason[cpu], "");
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(a_sensor_that_goes_away_leaves_what_it_measured) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.step(0, 0, 90);
  bench.step(0, 90, 150);
  bench.energy(10, 0, 100);
  BOOST_CHECK_EQUAL(bench.given.size(), 1u);
  bench.absent(EnergySource::cpu);
  bench.step(0, 150, 160);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 3u);
  BOOST_CHECK_CLOSE(bench.given[0].joules[cpu], 9.0, 1e-9);
  BOOST_CHECK_EQUAL(bench.given[1].reason[cpu], "absent");
  BOOST_CHECK_EQUAL(bench.given[2].reason[cpu], "absent");
  BOOST_CHECK_CLOSE(bench.totals().unattributed, 1.0, 1e-9);
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(a_sensor_that_goes_away_before_its_intervals_are_split_still_counts_them) {
  Bench bench(ranks_on_one_host(2));
  bench.cpu_only();
  bench.step(0, 0, 90);
  bench.energy(10, 0, 100);
  bench.absent(EnergySource::cpu);
  BOOST_CHECK(bench.given.empty());
  bench.mark(0, 100);
  bench.mark(1, 100);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 1u);
  BOOST_CHECK_CLOSE(bench.given[0].joules[cpu], 9.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(overdue_energy_is_given_up_with_a_reason) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.step(0, 0, 90, 0, 1000 * ms);
  bench.apportioner.tick(11'000 * ms);
  BOOST_CHECK(bench.given.empty());
  bench.apportioner.tick(11'001 * ms);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 1u);
  BOOST_CHECK_NE(bench.given[0].reason[cpu].find("within 10 s"), std::string::npos);
  bench.mark(0, 200);
  bench.energy(10, 0, 100);  // late: measured, but the step is gone
  BOOST_CHECK_CLOSE(bench.totals().measured, 10.0, 1e-9);
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(a_step_that_is_reported_too_late_says_so) {
  Bench bench(ranks_on_one_host(1));
  bench.cpu_only();
  bench.mark(0, 100);
  bench.energy(10, 0, 100);
  bench.step(0, 20, 80);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 1u);
  BOOST_CHECK_NE(bench.given[0].reason[cpu], "");
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(joules_that_come_twice_are_refused) {
  Bench bench(ranks_on_one_host(2));
  bench.energy(10, 0, 100);
  bench.energy(10, 100, 200);
  BOOST_CHECK_THROW(bench.energy(10, 100, 200), RunError);
  BOOST_CHECK_THROW(bench.energy(10, 50, 150), RunError);
  BOOST_CHECK_CLOSE(bench.totals().measured, 20.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(unknown_ranks_are_refused) {
  Bench bench(ranks_on_one_host(1));
  BOOST_CHECK_THROW(bench.step(1, 0, 1), RunError);
  BOOST_CHECK_THROW(bench.step(0, 0, 1, 7), RunError);
  BOOST_CHECK_THROW(bench.mark(-1, 5), RunError);
}

BOOST_AUTO_TEST_CASE(gpus_of_a_host_are_meters_of_their_own) {
  Bench bench({{0, 0}, {0, 1}, {0, 1}});
  bench.absent(EnergySource::cpu);
  bench.absent(EnergySource::dram);
  for (int rank = 0; rank < 3; ++rank) bench.step(rank, 0, 100);
  bench.energy(30, 0, 100, EnergySource::gpu, 0, 0);
  bench.energy(80, 0, 100, EnergySource::gpu, 0, 1);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 3u);
  BOOST_CHECK_CLOSE(bench.given[0].joules[0], 30.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.given[1].joules[0], 40.0, 1e-9);  // two ranks on one GPU
  BOOST_CHECK_CLOSE(bench.given[2].joules[0], 40.0, 1e-9);
  BOOST_CHECK_CLOSE(bench.totals(0).measured, 110.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(a_rank_without_gpu_does_not_wait_for_those_of_others) {
  Bench bench({{0, 0}, {0, -1}});
  bench.absent(EnergySource::cpu);
  bench.absent(EnergySource::dram);
  bench.step(0, 0, 100);
  bench.step(1, 0, 100);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 1u);
  BOOST_CHECK_EQUAL(bench.given[0].record.rank, 1);
  BOOST_CHECK_EQUAL(bench.given[0].reason[0], "this rank uses no GPU");
  bench.energy(30, 0, 100, EnergySource::gpu, 0, 0);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 2u);
  BOOST_CHECK_CLOSE(bench.given[1].joules[0], 30.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(that_ranks_use_no_gpu_takes_nothing_from_the_boards_of_others) {
  Bench bench({{0, -1}, {0, 0}});
  bench.cpu_only();
  bench.absent(EnergySource::cpu);
  bench.step(1, 0, 100);
  bench.energy(30, 0, 100, EnergySource::gpu, 0, 0);
  BOOST_REQUIRE_EQUAL(bench.given.size(), 1u);
  BOOST_CHECK_CLOSE(bench.given[0].joules[0], 30.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(the_end_of_a_run_lets_go_of_everything) {
  Bench bench(ranks_on_one_host(2));
  bench.cpu_only();
  bench.step(0, 0, 100);
  bench.step(0, 100, 250);
  bench.energy(20, 0, 200);
  bench.apportioner.finish();
  BOOST_REQUIRE_EQUAL(bench.given.size(), 2u);
  BOOST_CHECK_CLOSE(bench.given[0].joules[cpu], 10.0, 1e-9);
  BOOST_CHECK_NE(bench.given[1].reason[cpu].find("ended"), std::string::npos);
  BOOST_CHECK_EQUAL(bench.apportioner.pending(), 0u);
  check_sum(bench.totals());
}

BOOST_AUTO_TEST_CASE(shares_and_idle_sum_to_the_measured_whatever_happens) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Dice dice(seed);
    const int ranks = 1 + static_cast<int>(dice.below(5)), hosts = 1 + static_cast<int>(dice.below(2));
    std::vector<RankPlace> places;
    for (int r = 0; r < ranks; ++r) places.push_back({static_cast<int>(dice.below(hosts))});
    Bench bench(places);
    std::vector<std::int64_t> clock(static_cast<std::size_t>(ranks), 0);
    std::vector<std::int64_t> sampled(static_cast<std::size_t>(hosts), dice.below(50));
    std::int64_t steps = 0;
    double joules = 0;
    for (int event = 0; event < 400; ++event) {
      const int rank = static_cast<int>(dice.below(ranks));
      std::int64_t& time = clock[static_cast<std::size_t>(rank)];
      const int host = static_cast<int>(dice.below(hosts));
      switch (dice.below(6)) {
        case 0:
        case 1: {  // a step, at times announced by a mark while it runs
          const std::int64_t begin = time + dice.below(20), end = begin + dice.below(200);
          if (dice.uniform() < 0.3 && end > begin + 1) bench.mark(rank, begin + 1 + dice.below(end - begin - 1), begin);
          if (dice.uniform() < 0.95) {
            bench.step(rank, begin, end, places[static_cast<std::size_t>(rank)].host);
            ++steps;
          }
          time = end;
          break;
        }
        case 5: {  // other work, which at times never reports
          const std::int64_t begin = time + dice.below(20), end = begin + dice.below(200);
          const auto purpose = dice.uniform() < 0.5 ? BusyPurpose::evaluation : BusyPurpose::checkpoint;
          if (dice.uniform() < 0.5 && end > begin + 1) bench.mark(rank, begin + 1 + dice.below(end - begin - 1), begin);
          if (dice.uniform() < 0.95) {
            bench.work(rank, purpose, begin, end, places[static_cast<std::size_t>(rank)].host);
          }
          time = end;
          break;
        }
        case 2:
          time += 1 + dice.below(50);
          bench.mark(rank, time);
          break;
        case 3: {
          std::int64_t& from = sampled[static_cast<std::size_t>(host)];
          if (dice.uniform() < 0.05) from += dice.below(30);  // a hole
          const std::int64_t to = from + dice.below(300);
          const double j = dice.uniform() * 1000;
          bench.energy(j, from, to, EnergySource::cpu, host);
          bench.energy(2 * j, from, to, EnergySource::dram, host);
          joules += j;
          from = to;
          break;
        }
        default:
          if (dice.uniform() < 0.01) bench.absent(EnergySource::dram, host);
          if (dice.uniform() < 0.01) bench.apportioner.tick(20'000 * ms * event);
      }
    }
    bench.apportioner.finish();
    BOOST_REQUIRE_EQUAL(bench.given.size(), static_cast<std::size_t>(steps));
    BOOST_CHECK_EQUAL(bench.apportioner.pending(), 0u);
    std::array<double, energy_sources> given{};
    for (const Given& g : bench.given) {
      for (std::size_t i = 0; i < energy_sources; ++i) {
        BOOST_REQUIRE(g.joules[i] >= 0);
        BOOST_REQUIRE(g.reason[i].empty() || g.joules[i] == 0);
        given[i] += g.joules[i];
      }
    }
    BOOST_CHECK_CLOSE(bench.totals(cpu).measured, joules, 1e-7);
    for (const std::size_t source : {cpu, dram}) {
      const SourceTotals& t = bench.totals(source);
      check_sum(t);
      BOOST_CHECK_SMALL((t.of(BusyPurpose::step) - given[source]) / std::max(1.0, t.measured), 1e-9);
      BOOST_CHECK_GE(t.idle, -1e-9 * std::max(1.0, t.measured));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
