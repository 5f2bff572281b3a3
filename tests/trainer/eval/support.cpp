#include "tests/trainer/eval/support.hpp"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

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
  const int code = train_small(run, 1,
                               {"blocks.training=" + training, "budget.steps=60", "optimizer.learning_rate=1e-2",
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
