// What the ledger of a whole training says: what ran, and on each host every sensor once.

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "support.hpp"
#include "trainer/support/version.hpp"

namespace blocktrain::trainer {
namespace {

using nlohmann::json;
using testing::TemporaryFolder;
using testing::train_small;

std::vector<json> rows(const std::string& run, const std::string& type) {
  std::vector<json> found;
  for (const std::string& line : testing::lines(run + "/ledger.jsonl")) {
    const json row = json::parse(line);
    if (row.at("type") == type) found.push_back(row);
  }
  return found;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_first_row_says_what_runs) {
  for (const bool whole : {false, true}) {
    const TemporaryFolder folder;
    const std::string run = folder.path("run"), training = whole ? "end_to_end" : "block_local";
    BOOST_REQUIRE(train_small(run, 2, {"blocks.training=" + training, "budget.steps=2"}) == 0);
    const auto start = rows(run, "run_start");
    BOOST_REQUIRE_EQUAL(start.size(), 1U);
    const json& row = start[0];
    BOOST_TEST(row.at("version") == version());
    BOOST_TEST(row.at("ranks") == 2);
    BOOST_TEST(row.at("blocks") == (whole ? 1 : 4));
    BOOST_TEST(row.at("training") == training);
    BOOST_TEST(row.at("transport").get<std::string>() != "");
    BOOST_REQUIRE_EQUAL(row.at("hosts").size(), 1U);
    BOOST_TEST(row.at("hosts")[0].at("ranks") == 2);
    BOOST_TEST(row.at("hosts")[0].at("hostname").get<std::string>() != "");
    for (const char* fact : {"experiment", "data_digest", "device"}) {
      BOOST_TEST(row.at("facts").at(fact).get<std::string>() != "", fact);
    }
  }
}

BOOST_AUTO_TEST_CASE(steps_of_a_rank_take_no_longer_than_the_run) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  BOOST_REQUIRE(train_small(run, 1, {"budget.steps=6"}) == 0);
  double steps = 0;
  int count = 0;
  for (const json& row : testing::step_rows(run)) {
    BOOST_TEST(row.at("seconds").get<double>() > 0);
    steps += row.at("seconds").get<double>();
    ++count;
  }
  BOOST_TEST(count == 24);
  const auto end = rows(run, "run_end");
  BOOST_REQUIRE_EQUAL(end.size(), 1U);
  // One after the other, by the same clock; the digits of a row are rounded.
  BOOST_TEST(steps <= end[0].at("seconds").get<double>() * (1 + 1e-3));
}

BOOST_AUTO_TEST_CASE(one_rank_of_a_host_measures_it) {
  const TemporaryFolder folder;
  const std::string root = folder.path("powercap"), zone = root + "/intel-rapl:0";
  std::filesystem::create_directories(zone);
  std::ofstream(zone + "/name") << "package-0\n";
  std::ofstream(zone + "/max_energy_range_uj") << "262143328850\n";
  std::ofstream(zone + "/energy_uj") << "1000000\n";
  int taken = 0;
  std::mutex mutex;
  const auto counted = [&](OwnedBlock&, std::int64_t) {
    const std::lock_guard lock(mutex);
    const int now = ++taken;  // one joule a step, in one piece for whoever reads meanwhile
    const std::string aside = zone + "/aside-" + std::to_string(now);
    std::ofstream(aside) << 1'000'000 + 1'000'000 * now << "\n";
    std::filesystem::rename(aside, zone + "/energy_uj");
  };
  const std::string run = folder.path("run");
  BOOST_REQUIRE(train_small(run, 3, {"energy.powercap_root=" + root, "budget.steps=3"}, false, counted) == 0);
  BOOST_REQUIRE_EQUAL(taken, 12);
  const auto end = rows(run, "run_end");
  BOOST_REQUIRE_EQUAL(end.size(), 1U);
  BOOST_TEST(end[0].at("joules").at("measured").at("cpu") == 12.0);

  std::map<std::string, int> sensors;
  for (const json& row : rows(run, "sensor")) ++sensors[row.at("source").get<std::string>()];
  BOOST_TEST((sensors == std::map<std::string, int>{{"gpu", 1}, {"cpu", 1}, {"dram", 1}}));
}

}  // namespace blocktrain::trainer
