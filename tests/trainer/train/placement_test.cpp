// Placement never changes the result: the same bits for every number of ranks that owns blocks alone, every number of
// threads, every order of turns; blocks that share nothing do not touch each other.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "support.hpp"
#include "trainer/checkpoint/block_file.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/support/stop_signal.hpp"
#include "trainer/tasks/images/image_layout.hpp"
#include "uneven_run.hpp"

namespace blocktrain::trainer {
namespace {

using testing::final_digests;
using testing::TemporaryFolder;
using testing::train_small;

std::vector<std::string> digests_of(const TemporaryFolder& folder, const std::string& name, int ranks,
                                    const std::vector<std::string>& overrides = {}) {
  BOOST_REQUIRE_EQUAL(train_small(folder.path(name), ranks, overrides), 0);
  return final_digests(folder.path(name));
}

BOOST_AUTO_TEST_CASE(ranks_and_threads_leave_every_bit_as_it_is) {
  const TemporaryFolder folder;
  const auto one = digests_of(folder, "one", 1);
  BOOST_REQUIRE_EQUAL(one.size(), 4u);
  BOOST_TEST(one[0] != one[1]);
  for (const int ranks : {2, 3, 4}) {
    BOOST_TEST_CONTEXT(ranks << " ranks") {
      BOOST_TEST(digests_of(folder, std::to_string(ranks), ranks) == one, boost::test_tools::per_element());
    }
  }
  BOOST_TEST(digests_of(folder, "threads", 1, {"parallel.threads=3"}) == one, boost::test_tools::per_element());
  BOOST_TEST(digests_of(folder, "turns", 2, {"parallel.steps_per_visit=1"}) == one, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_block_that_another_rank_takes_over_keeps_every_bit) {
  const TemporaryFolder folder;
  const auto one = digests_of(folder, "one", 1);
  for (const std::string average : {"optimizer.average_decay=0.9", "optimizer.average_decay=0"}) {
    const auto expected = digests_of(folder, "one-" + average, 1, {average});
    const std::string run = folder.path("moved-" + average);
    testing::UnevenRun uneven(12);
    const int code =
        train_small(run, 3, {"parallel.steps_per_visit=1", "eval.every_steps=4", "eval.images=17", average}, false,
                    std::ref(uneven));
    BOOST_REQUIRE_EQUAL(code, 0);
    BOOST_TEST(uneven.moved());
    BOOST_TEST(final_digests(run) == expected, boost::test_tools::per_element());
    std::map<int, std::vector<int>> ranks;  // by block, of its steps
    std::map<int, int> evaluations;
    double control = 0;
    for (const std::string& line : testing::lines(run + "/ledger.jsonl")) {
      const auto row = nlohmann::json::parse(line);
      if (row.at("type") == "eval") ++evaluations[row.at("block").get<int>()];
    }
    for (const auto& row : testing::step_rows(run)) {
      ranks[row.at("block").get<int>()].push_back(row.at("ranks").at(0).get<int>());
      BOOST_TEST(row.at("bytes_sent").at("inter_block") == 0);
      control += row.at("bytes_sent").at("control").get<double>();
    }
    const int moved = ranks[0].back() != 0 ? 0 : 1;
    for (int b = 0; b < 4; ++b) {
      BOOST_TEST_CONTEXT("block " << b) {
        BOOST_REQUIRE_EQUAL(ranks[b].size(), 12u);
        BOOST_TEST(std::is_sorted(ranks[b].begin(), ranks[b].end()));
        const int owner = b < 2 ? 0 : b - 1;
        BOOST_TEST((ranks[b].back() != owner) == (b == moved));
        BOOST_TEST(evaluations[b] == 3);
      }
    }
    BOOST_TEST(control > 3 * 4 * 1000.0);  // its weights and two moments, of more than a thousand parameters
  }
  BOOST_REQUIRE_EQUAL(train_small(folder.path("stays"), 3, {"parallel.rebalance=false"}), 0);
  BOOST_TEST(final_digests(folder.path("stays")) == one, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_run_that_is_stopped_after_a_block_moved_resumes_to_the_same_bits) {
  const TemporaryFolder folder;
  const auto one = digests_of(folder, "one", 1);
  const std::string run = folder.path("stopped");
  testing::UnevenRun uneven(12);
  const auto stop = [&](OwnedBlock& block, std::int64_t step) {
    uneven(block, step);
    if (uneven.moved()) request_stop();
  };
  BOOST_REQUIRE_EQUAL(train_small(run, 3, {"parallel.steps_per_visit=1"}, false, stop), 75);
  BOOST_TEST(uneven.moved());
  BOOST_REQUIRE_EQUAL(train_small(run, 2, {}, true), 0);
  BOOST_TEST(final_digests(run) == one, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(another_seed_for_one_block_leaves_the_others_as_they_are) {
  const TemporaryFolder folder;
  const auto before = digests_of(folder, "before", 4, {"blocks.seeds=[1,1,1,1]"});
  // The identity of the experiment is in the files, so compare weights rather than digests.
  const auto after = digests_of(folder, "after", 4, {"blocks.seeds=[1,1,9,1]"});
  Config config;
  config.model.layers = 4;
  config.model.width = 16;
  config.model.heads = 2;
  config.blocks.count = 4;
  for (const blocks::BlockPlace& place : block_places(config)) {
    const auto network = make_block(config, image_layout({1, 8, 8}, 10), place);
    const auto read = [&](const std::string& run) {
      const std::string path = folder.path(run) + "/checkpoints/" + block_file_name(place.index, 12);
      const BlockFileHeader header = read_block_header(path);
      std::vector<float> weights(static_cast<std::size_t>(network->parameter_elements()));
      BlockTensors<float> tensors;
      tensors.parameters = weights;
      read_block_file(path, header, network->parameters(), tensors);
      return weights;
    };
    BOOST_TEST((read("before") == read("after")) == (place.index != 2), "block " << place.index);
  }
}

BOOST_AUTO_TEST_CASE(nothing_is_sent_between_blocks_and_rows_are_complete) {
  const TemporaryFolder folder;
  digests_of(folder, "run", 4);
  int steps = 0;
  for (const auto& row : testing::step_rows(folder.path("run"))) {
    ++steps;
    BOOST_TEST(row.at("bytes_sent").at("inter_block") == 0);
    BOOST_TEST(row.at("bytes_sent").at("replica") == 0);
    BOOST_TEST(row.at("tokens") == 24 * 16);
    BOOST_TEST(row.at("memory").at("planned") == row.at("memory").at("measured"));
    BOOST_TEST(row.at("joules").at("gpu").is_null());
    BOOST_TEST(row.at("joules_reason").at("gpu").is_string());
    BOOST_TEST(row.at("loss").get<double>() > row.at("unweighted").get<double>());
  }
  BOOST_TEST(steps == 4 * 12);
}

BOOST_AUTO_TEST_CASE(replicas_give_fixed_bits_and_agree_with_one_rank) {
  const TemporaryFolder folder;
  const auto six = digests_of(folder, "six", 6), again = digests_of(folder, "again", 6);
  BOOST_TEST(six == again, boost::test_tools::per_element());
  const auto four = digests_of(folder, "four", 4);
  // Blocks 2 and 3 have one rank each in both.
  BOOST_TEST(six[2] == four[2]);
  BOOST_TEST(six[3] == four[3]);
  BOOST_TEST(six[0] != four[0]);
  const auto losses = [&](const std::string& run) {
    std::vector<double> values(12);
    for (const std::string& line : testing::lines(folder.path(run) + "/ledger.jsonl")) {
      const auto row = nlohmann::json::parse(line);
      if (row.at("type") == "step" && row.at("block") == 0)
        values.at(row.at("step").get<std::size_t>()) = row.at("loss").get<double>();
    }
    return values;
  };
  const auto a = losses("six"), b = losses("four");
  for (std::size_t s = 0; s < a.size(); ++s)
    BOOST_TEST(std::abs(a[s] - b[s]) <= 2e-5 * b[s], "step " << s << ": " << a[s] << " and " << b[s]);
}

BOOST_AUTO_TEST_CASE(end_to_end_is_one_block_of_all_layers) {
  const TemporaryFolder folder;
  const auto one = digests_of(folder, "one", 1, {"blocks.training=end_to_end"});
  BOOST_REQUIRE_EQUAL(one.size(), 1u);
  const auto three = digests_of(folder, "three", 3, {"blocks.training=end_to_end"});
  const BlockFileHeader header = read_block_header(folder.path("one") + "/checkpoints/" + block_file_name(0, 12));
  BOOST_TEST(header.layers == 4);
  BOOST_TEST(header.blocks == 1);
  BOOST_TEST(one[0] != three[0]);
}

BOOST_AUTO_TEST_CASE(held_out_losses_while_training_change_nothing) {
  const TemporaryFolder folder;
  const auto without = digests_of(folder, "without", 2);
  const auto with = digests_of(folder, "with", 2, {"eval.every_steps=4", "eval.images=17"});
  BOOST_TEST(with == without, boost::test_tools::per_element());
  int rows = 0;
  for (const std::string& line : testing::lines(folder.path("with") + "/ledger.jsonl")) {
    const auto row = nlohmann::json::parse(line);
    if (row.at("type") != "eval") continue;
    ++rows;
    BOOST_TEST(row.at("samples") == 17);
    BOOST_TEST(row.at("metrics").at("heldout_loss").get<double>() >
               row.at("metrics").at("heldout_unweighted").get<double>());
    BOOST_TEST(row.at("seconds").get<double>() > 0);
  }
  BOOST_TEST(rows == 4 * 3);
}

}  // namespace
}  // namespace blocktrain::trainer
