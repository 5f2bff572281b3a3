#include "support.hpp"

#include <cstdlib>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "comm/local/local_world.hpp"
#include "tests/support/whole_steps.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/support/stop_signal.hpp"

namespace blocktrain::trainer::testing {

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "blocktrain-run-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  root_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(root_, ignored);
}

int train_small(const std::string& run, int ranks, std::vector<std::string> overrides, bool resume,
                const AfterStep& after_step) {
  const std::string source = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  const std::string config = run + ".yaml";
  std::ofstream(config) << "log: {directory: '" << run << "'}\n"
                        << "data: {path: '" << source << "/tests/fixtures/digits', batch: 24}\n"
                        << "model: {layers: 4, width: 16, heads: 2, patch: 2}\n"
                        << "blocks: {count: 4}\n"
                        << "optimizer: {learning_rate: 1e-3, warmup_steps: 2, average_decay: 0.9}\n"
                        << "budget: {steps: 12}\n"
                        << "checkpoint: {every_steps: 5, keep: 2}\n"
                        << "parallel: {threads: 1, steps_per_visit: 4, timeout_seconds: 60}\n";
  return train_config(config, ranks, std::move(overrides), resume, after_step);
}

int train_config(const std::string& config, int ranks, std::vector<std::string> overrides, bool resume,
                 const AfterStep& after_step) {
  TrainRequest request;
  request.config_path = config;
  request.overrides = std::move(overrides);
  request.resume = resume;
  request.progress = ProgressStyle::none;
  request.after_step = after_step;

  clear_stop_request();
  std::vector<int> codes(static_cast<std::size_t>(ranks), -1);
  std::exception_ptr first;
  comm::run_local_world(ranks, [&](comm::Communicator& world) {
    try {
      codes[static_cast<std::size_t>(world.rank())] = train(world, request);
    } catch (const QuietExit& e) {
      codes[static_cast<std::size_t>(world.rank())] = e.code();
    } catch (...) {
      if (world.rank() != 0) throw;
      first = std::current_exception();
    }
  });
  clear_stop_request();
  if (first) std::rethrow_exception(first);
  for (const int code : codes) {
    if (code != codes.front()) throw std::logic_error("ranks ended with different exit codes");
  }
  return codes.front();
}

std::vector<std::string> final_digests(const std::string& run) {
  std::ifstream in(run + "/checkpoints/manifest.json");
  const auto manifest = nlohmann::json::parse(in);
  std::vector<std::string> digests;
  for (const auto& block : manifest.at("blocks"))
    digests.push_back(block.at("files").at(0).at("sha256").get<std::string>());
  return digests;
}

std::vector<nlohmann::json> step_rows(const std::string& run) {
  std::vector<nlohmann::json> rows;
  for (const std::string& line : lines(run + "/ledger.jsonl")) rows.push_back(nlohmann::json::parse(line));
  return test::whole_steps(rows);
}

std::vector<std::string> lines(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> result;
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

}  // namespace blocktrain::trainer::testing
