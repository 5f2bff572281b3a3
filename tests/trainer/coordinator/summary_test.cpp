// What a training says before it starts, of each block, and after it ended.

#include "trainer/coordinator/summary.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "comm/local/local_world.hpp"
#include "tests/trainer/train/support.hpp"
#include "trainer/data/data_facts.hpp"
#include "trainer/support/units.hpp"

namespace blocktrain::trainer {
namespace {

/// What goes to standard output meanwhile.
class Captured {
 public:
  Captured() {
    std::fflush(stdout);
    before_ = dup(STDOUT_FILENO);
    dup2(fileno(file_), STDOUT_FILENO);
  }
  ~Captured() {
    give_back();
    std::fclose(file_);
  }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;
  std::string text() {
    give_back();
    std::string found;
    std::rewind(file_);
    for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) found += static_cast<char>(c);
    return found;
  }

 private:
  void give_back() {
    if (before_ < 0) return;
    std::fflush(stdout);
    dup2(before_, STDOUT_FILENO);
    close(before_);
    before_ = -1;
  }
  std::FILE* file_ = std::tmpfile();
  int before_ = -1;
};

std::size_t most_of(const Plan& plan) {
  std::vector<std::size_t> of_ranks;
  for (const RankPlan& r : plan.ranks) of_ranks.push_back(r.bytes.total());
  return *std::max_element(of_ranks.begin(), of_ranks.end());
}

BOOST_AUTO_TEST_CASE(a_training_says_what_it_trains_and_what_it_took) {
  const testing::TemporaryFolder folder;
  const std::string run = folder.path("run"), file = folder.path("config.yaml");
  const std::string data = std::string(std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR")) + "/tests/fixtures/digits";
  std::ofstream(file) << "log: {directory: '" << run << "'}\n"
                      << "data: {path: '" << data << "', batch: 24}\n"
                      << "model: {layers: 4, width: 16, heads: 2, patch: 2}\n"
                      << "blocks: {count: 3, layers: [1, 2, 1]}\n"
                      << "budget: {steps: 3}\n"
                      << "parallel: {device: cpu, threads: 1, timeout_seconds: 60}\n";
  std::string said;
  int code = -1;
  {
    Captured output;
    comm::run_local_world(3, [&](comm::Communicator& world) {
      TrainRequest request;
      request.config_path = file;
      const int of_rank = train(world, request);
      if (world.rank() == 0) code = of_rank;
    });
    said = output.text();
  }
  BOOST_TEST(code == 0);
  const auto contains = [&](const std::string& part) {
    BOOST_TEST(said.find(part) != std::string::npos, "'" << part << "' is missing in:\n" << said);
  };
  contains(run + ": 3 blocks on 3 ranks (local transport)");
  contains("\ndata: " + data + " (");
  contains("4 layers of width 16");
  // Of each block that it is done, in the last frame.
  const std::string last = said.substr(std::min(said.rfind("block 0 "), said.size()));
  for (const char* block : {"block 0  step      3/3 ", "block 1  step      3/3 ", "block 2  step      3/3 "}) {
    const std::size_t at = last.find(block);
    BOOST_REQUIRE(at != std::string::npos);
    const std::string line = last.substr(at, last.find('\n', at) - at);
    BOOST_TEST(line.ends_with("  done"), line);
  }
  // Ranks differ: the second has two layers.
  const Config config = load_config(file, {});
  const blocks::SampleLayout layout = load_data_facts(RunPaths{run}.data()).layout;
  const std::size_t mine = most_of(make_plan(config, layout, 3));
  BOOST_REQUIRE(mine > make_plan(config, layout, 3).ranks.front().bytes.total());
  const auto twin = [&](int world) { return static_cast<double>(most_of(end_to_end_twin(config, layout, world))); };
  const auto all = static_cast<double>(mine);
  contains(
      fmt::format("memory per rank       {} in arenas; end to end takes {} on one rank ({:.2f}x), {} on each of 3 "
                  "({:.2f}x)\n",
                  bytes(all), bytes(twin(1)), all / twin(1), bytes(twin(3)), all / twin(3)));
  contains("bytes between blocks  0\n");
}

}  // namespace
}  // namespace blocktrain::trainer
