#include "tests/trainer/eval/support.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "trainer/checkpoint/block_file.hpp"
#include "trainer/checkpoint/manifest_writer.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/run_folder/run_folder.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer::testing {
namespace {

namespace fs = std::filesystem;

const TemporaryFolder& folder() {
  static const TemporaryFolder f;
  return f;
}

// Far enough from the start for every part of the network to count in its output.
std::string trained(const std::string& name, const std::string& training) {
  const std::string run = folder().path(name);
  const int code = train_small(
      run, 1,
      {"blocks.training=" + training, "budget.steps=60", "optimizer.learning_rate=1e-2", "parallel.device=cpu",
       "checkpoint.every_steps=30", "eval.images=16", "eval.samples=40", "eval.steps=[4, 6]"});
  if (code != 0) throw std::runtime_error("the training for the tests ended with " + std::to_string(code));
  return run;
}

}  // namespace

const std::string& small_run() {
  static const std::string run = trained("run", "block_local");
  return run;
}

const std::string& small_twin() {
  static const std::string run = trained("twin", "end_to_end");
  return run;
}

std::string copy_of_run(const TemporaryFolder& to, const std::string& name) {
  fs::copy(small_run(), to.path(name), fs::copy_options::recursive);
  return to.path(name);
}

std::string copy_trained_in_bfloat16(const TemporaryFolder& to, const std::string& name) {
  const std::string run = copy_of_run(to, name);
  const TrainedNetwork network(task_of, run, {});
  std::string text = read_file(run + "/config.yaml");
  const std::string was = "precision: float32";
  text.replace(text.find(was), was.size(), "precision: bfloat16");
  std::ofstream(run + "/config.yaml") << text;
  const std::string experiment = experiment_identity(load_run_config(run));

  // The state of a block by table: weights, both moments, average.
  using State = std::array<std::vector<float>, 4>;
  std::vector<BlockFileHeader> headers;
  std::vector<State> states;
  for (int b = 0; b < network.blocks(); ++b) {
    const std::string file = checkpoint_files(run, b).front();
    headers.push_back(read_block_header(file));
    State& s = states.emplace_back();
    for (auto& table : s) table.resize(static_cast<std::size_t>(network.block(b).parameter_elements()));
    read_block_file(file, headers.back(), network.block(b).parameters(), BlockTensors<float>{s[0], s[1], s[2], s[3]});
    headers.back().experiment = experiment;
  }
  fs::remove_all(run + "/checkpoints");
  ResumePlan fresh;
  for (int b = 0; b < network.blocks(); ++b) fresh.blocks.push_back({b, 0, std::nullopt});
  ManifestWriter writer(run, experiment, fresh);
  for (int b = 0; b < network.blocks(); ++b) {
    const State& s = states[static_cast<std::size_t>(b)];
    writer.add(commit_block(run, headers[static_cast<std::size_t>(b)], network.block(b).parameters(),
                            BlockTensors<const float>{s[0], s[1], s[2], s[3]}));
  }
  return run;
}

std::vector<std::string> checkpoint_files(const std::string& run, int block) {
  std::ifstream in(run + "/checkpoints/manifest.json");
  const auto manifest = nlohmann::json::parse(in);
  std::vector<std::string> files;
  for (const auto& f : manifest.at("blocks").at(static_cast<std::size_t>(block)).at("files")) {
    files.push_back(run + "/checkpoints/" + f.at("name").get<std::string>());
  }
  return files;
}

void damage(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto middle = static_cast<std::streamoff>(fs::file_size(path) / 2);
  file.seekg(middle);
  const int byte = file.get();
  file.seekp(middle);
  file.put(static_cast<char>(~byte));
  if (!file) throw std::runtime_error("cannot damage " + path);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace blocktrain::trainer::testing
