// Who samples which board, and how the ledger numbers them.
#include "trainer/ledger/energy/gpu_boards.hpp"

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>

#include "kernels/error.hpp"
#include "kernels/gpu_uuid.hpp"
#include "tests/trainer/ledger/support.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

BOOST_AUTO_TEST_SUITE(gpu_boards)

BOOST_AUTO_TEST_CASE(a_board_has_one_owner_the_lowest_of_its_ranks) {
  const GpuAssignment a = assign_gpu_boards({{0, 0, "GPU-b"}, {1, 0, "GPU-a"}, {2, 0, "GPU-b"}, {3, 0, "GPU-a"}});
  BOOST_REQUIRE_EQUAL(a.boards.size(), 2u);
  BOOST_CHECK_EQUAL(a.boards[0].uuid, "GPU-b");
  BOOST_CHECK_EQUAL(a.boards[0].device, 0);
  BOOST_CHECK_EQUAL(a.boards[0].owner, 0);
  BOOST_CHECK((a.boards[0].ranks == std::vector<int>{0, 2}));
  BOOST_CHECK_EQUAL(a.boards[1].owner, 1);
  BOOST_CHECK((a.boards[1].ranks == std::vector<int>{1, 3}));
  const std::vector<int> devices{a.places[0].device, a.places[1].device, a.places[2].device, a.places[3].device};
  BOOST_CHECK((devices == std::vector<int>{0, 1, 0, 1}));
  BOOST_REQUIRE_EQUAL(a.owned_by(1).size(), 1u);
  BOOST_CHECK_EQUAL(a.owned_by(1)[0].device, 1);
  BOOST_CHECK_EQUAL(a.owned_by(1)[0].uuid, "GPU-a");
  BOOST_CHECK_EQUAL(a.owned_by(1)[0].elsewhere, "");
  BOOST_CHECK(a.owned_by(2).empty());
  BOOST_CHECK(a.owned_by(3).empty());
}

BOOST_AUTO_TEST_CASE(hosts_number_their_own_boards) {
  const GpuAssignment a = assign_gpu_boards({{0, 0, "GPU-a"}, {1, 1, "GPU-c"}, {2, 0, ""}, {3, 1, "GPU-b"}});
  BOOST_CHECK_EQUAL(a.places[0].device, 0);
  BOOST_CHECK_EQUAL(a.places[1].device, 0);
  BOOST_CHECK_EQUAL(a.places[1].host, 1);
  BOOST_CHECK_EQUAL(a.places[2].device, -1);  // on the CPU
  BOOST_CHECK_EQUAL(a.places[3].device, 1);
  BOOST_CHECK(a.owned_by(2).empty());
}

BOOST_AUTO_TEST_CASE(a_board_that_two_hosts_show_is_counted_on_one) {
  const GpuAssignment a = assign_gpu_boards({{0, 1, "GPU-a"}, {1, 0, "GPU-a"}});
  BOOST_REQUIRE_EQUAL(a.boards.size(), 2u);
  BOOST_CHECK(!a.boards[0].counted_here);
  BOOST_CHECK(a.boards[1].counted_here);
  BOOST_CHECK_EQUAL(a.owned_by(0)[0].elsewhere, "");
  BOOST_CHECK_NE(a.owned_by(1)[0].elsewhere.find("counted on another host"), std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_order_of_the_list_does_not_matter) {
  Dice dice(4);
  std::vector<RankGpu> ranks;
  for (int r = 0; r < 24; ++r) ranks.push_back({r, r / 8, "GPU-" + std::to_string(r / 8 * 10 + dice.below(4))});
  const GpuAssignment expected = assign_gpu_boards(ranks);
  for (int round = 0; round < 20; ++round) {
    for (std::size_t i = ranks.size(); i > 1; --i) {
      std::swap(ranks[i - 1], ranks[static_cast<std::size_t>(dice.below(static_cast<std::int64_t>(i)))]);
    }
    const GpuAssignment a = assign_gpu_boards(ranks);
    BOOST_REQUIRE_EQUAL(a.boards.size(), expected.boards.size());
    for (std::size_t i = 0; i < a.boards.size(); ++i) {
      BOOST_CHECK_EQUAL(a.boards[i].uuid, expected.boards[i].uuid);
      BOOST_CHECK_EQUAL(a.boards[i].owner, expected.boards[i].owner);
      BOOST_CHECK(a.boards[i].ranks == expected.boards[i].ranks);
      BOOST_CHECK_EQUAL(a.boards[i].owner, a.boards[i].ranks.front());
    }
    std::size_t owned = 0;
    for (int r = 0; r < 24; ++r) owned += a.owned_by(r).size();
    BOOST_CHECK_EQUAL(owned, a.boards.size());  // each exactly once
  }
}

BOOST_AUTO_TEST_CASE(a_list_with_holes_is_refused) {
  BOOST_CHECK_THROW(assign_gpu_boards({{0, 0, ""}, {2, 0, ""}}), blocktrain::RunError);
  BOOST_CHECK_THROW(assign_gpu_boards({{0, 0, ""}, {0, 0, ""}}), blocktrain::RunError);
  BOOST_CHECK(assign_gpu_boards({}).places.empty());
}

BOOST_AUTO_TEST_CASE(ranks_get_shares_of_their_own_board_alone) {
  const GpuAssignment a = assign_gpu_boards({{0, 0, "GPU-a"}, {1, 0, "GPU-b"}, {2, 0, "GPU-b"}});
  std::vector<double> joules(3, 0);
  EnergyApportioner apportioner(
      a.places, std::chrono::milliseconds(1000),
      [&](const StepRecord& r, const StepEnergy& e) { joules[static_cast<std::size_t>(r.rank)] = e.joules[0]; });
  for (const auto source : {EnergySource::cpu, EnergySource::dram}) apportioner.add(no_sensor(source, "absent"));
  for (int rank = 0; rank < 3; ++rank) {
    StepRecord step = step_record(0, 0, rank);
    step.busy_begin = 0;
    step.busy_end = 1000;
    apportioner.add(step, 0);
  }
  double measured = 10;
  for (int rank = 0; rank < 3; ++rank) {
    for (const GpuInUse& gpu : a.owned_by(rank)) {
      EnergyRecord energy;
      energy.device = gpu.device;
      energy.source = EnergySource::gpu;
      energy.joules = measured;
      energy.end = 1000;
      apportioner.add(energy);
      measured += 70;
    }
  }
  BOOST_CHECK_CLOSE(joules[0], 10.0, 1e-9);
  BOOST_CHECK_CLOSE(joules[1], 40.0, 1e-9);
  BOOST_CHECK_CLOSE(joules[2], 40.0, 1e-9);
  BOOST_CHECK_CLOSE(apportioner.totals()[0].measured, 90.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(a_uuid_is_written_as_nvml_writes_it) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 17);
  BOOST_CHECK_EQUAL(blocktrain::kernels::gpu_uuid_text(bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
}

BOOST_AUTO_TEST_SUITE_END()
