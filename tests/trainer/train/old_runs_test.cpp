// Run folders that earlier versions wrote (tests/fixtures/old-runs) are evaluated, generated from, exported and
// resumed.

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "comm/local/local_world.hpp"
#include "kernels/error.hpp"
#include "support.hpp"
#include "trainer/checkpoint/block_file.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/run_folder/run_folder.hpp"
#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::TemporaryFolder;

constexpr const char* old_version = "f99eb9a";

fs::path fixtures() { return fs::path(std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR")) / "tests/fixtures/old-runs"; }

std::string data_here() { return "data.path=" + (fixtures() / "digits").string(); }

/// A copy that may be written to.
std::string copy_of(const std::string& name, const TemporaryFolder& folder) {
  fs::copy(fixtures() / old_version / name, folder.path(name), fs::copy_options::recursive);
  for (const auto& entry : fs::recursive_directory_iterator(folder.path(name))) {
    fs::permissions(entry.path(), fs::perms::owner_write, fs::perm_options::add);
  }
  return folder.path(name);
}

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Json manifest_of(const std::string& run) { return Json::parse(content(run + "/checkpoints/manifest.json")); }

std::string newest(const std::string& run, std::size_t block) {
  const Json manifest = manifest_of(run);
  return run + "/checkpoints/" + manifest.at("blocks").at(block).at("files").at(0).at("name").get<std::string>();
}

/// `blocktrain train CONFIG --set ... --resume` of one rank.
int train_config(const std::string& config, std::vector<std::string> overrides, bool resume) {
  overrides.insert(overrides.end(), {"parallel.device=cpu", "parallel.threads=1"});
  TrainArguments arguments;
  arguments.config = config;
  arguments.overrides = std::move(overrides);
  arguments.resume = resume;
  arguments.quiet = true;
  return train_command(arguments);
}

/// SHA-256 by file name.
std::map<std::string, std::string> digests(const std::string& name) {
  std::istringstream in(content((fixtures() / old_version / (name + ".sha256")).string()));
  std::map<std::string, std::string> found;
  for (std::string digest, file; in >> digest >> file;) found[file] = digest;
  return found;
}

/// Whether this program rounds as the one that wrote the runs: the same type of CPU (Zen 4), compiler and options.
bool rounds_alike() {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ == 12 && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
  if (std::string(TEST_CPU_ARCH) != "native") return false;
  int family = -1, model = -1;
  for (const std::string& line : testing::lines("/proc/cpuinfo")) {
    if (line.starts_with("cpu family\t:")) std::sscanf(line.c_str(), "cpu family\t: %d", &family);
    if (line.starts_with("model\t\t:")) std::sscanf(line.c_str(), "model\t\t: %d", &model);
  }
  return family == 25 && ((model >= 0x10 && model <= 0x1f) || (model >= 0x60 && model <= 0xaf));
#else
  return false;
#endif
}

struct State {
  BlockFileHeader header;
  std::vector<float> parameters, first_moment, second_moment;
};

State read_state(const std::string& run, int block) {
  const Config config = load_run_config(run);
  const auto place = block_places(config).at(static_cast<std::size_t>(block));
  const Json facts = Json::parse(content(run + "/data.json"));
  const blocks::SampleLayout layout =
      image_layout({facts.at("channels"), facts.at("height"), facts.at("width")}, facts.at("classes"));
  const auto network = make_block(config, layout, place);
  State s;
  const std::string file = newest(run, static_cast<std::size_t>(block));
  s.header = read_block_header(file);
  for (auto* table : {&s.parameters, &s.first_moment, &s.second_moment}) {
    table->resize(static_cast<std::size_t>(network->parameter_elements()));
  }
  read_block_file(file, s.header, network->parameters(),
                  BlockTensors<float>{s.parameters, s.first_moment, s.second_moment, {}});
  return s;
}

/// Root of the mean square of the differences, as a share of that of the values.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  BOOST_REQUIRE(a.size() == b.size());
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    apart += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    size += std::pow(static_cast<double>(a[i]), 2);
  }
  return std::sqrt(apart / size);
}

void check_bits(const std::string& run, const std::string& name) {
  if (!rounds_alike()) {
    std::printf("SKIPPED: bits of %s: written on another type of CPU or by another compiler\n", name.c_str());
    return;
  }
  for (const auto& [file, digest] : digests(name)) {
    const Json manifest = manifest_of(run);
    bool found = false;
    for (const Json& block : manifest.at("blocks")) {
      const Json& first = block.at("files").at(0);
      if (first.at("name") != file) continue;
      found = true;
      BOOST_TEST(first.at("sha256").get<std::string>() == digest, file);
    }
    BOOST_TEST(found, file);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(they_are_evaluated_generated_from_and_exported) {
  for (const std::string name : {"finished", "interrupted"}) {
    BOOST_TEST_CONTEXT(name) {
      const TemporaryFolder folder;
      const std::string run = copy_of(name, folder);
      const Json before = manifest_of(run);
      EvalArguments eval;
      eval.run = run;
      eval.overrides = {data_here(), "parallel.device=cpu", "parallel.threads=1", "eval.images=16", "eval.samples=20"};
      BOOST_REQUIRE(eval_command(eval) == 0);
      const Json result = Json::parse(content(run + "/eval.json"));
      BOOST_TEST(result.at("run").at("experiment") == before.at("experiment"));
      const std::vector<int> steps =
          name == "finished" ? std::vector<int>{40, 40, 40, 40} : std::vector<int>{270, 270, 310, 290};
      BOOST_TEST(result.at("run").at("steps").get<std::vector<int>>() == steps, boost::test_tools::per_element());
      BOOST_TEST(result.at("run").at("denoising").at("loss").get<double>() > 0);

      GenerateArguments generate;
      generate.run = run;
      generate.count = 10;
      generate.steps = 4;
      generate.overrides = {"parallel.device=cpu"};
      BOOST_REQUIRE(generate_command(generate) == 0);
      BOOST_TEST(content(run + "/samples.png").substr(1, 3) == "PNG");

      ExportArguments exported;
      exported.run = run;
      BOOST_REQUIRE(export_command(exported) == 0);
      BOOST_TEST(fs::exists(run + "/export/model.safetensors"));
      BOOST_TEST(manifest_of(run) == before);  // nothing but what was asked for was written
    }
  }
}

BOOST_AUTO_TEST_CASE(what_was_finished_is_what_a_training_comes_to_today) {
  const TemporaryFolder folder;
  const std::string old = copy_of("finished", folder), now = folder.path("now");
  BOOST_REQUIRE(train_config(old + "/config.yaml", {"log.directory=" + now, data_here()}, false) == 0);
  for (int block = 0; block < 4; ++block) {
    BOOST_TEST_CONTEXT("block " << block) {
      const State a = read_state(old, block), b = read_state(now, block);
      BOOST_TEST(b.header.step == 40);
      BOOST_TEST(b.header.experiment == a.header.experiment);
      // Other roundings grow over 40 steps to far less than this, another network or other data to far more.
      BOOST_TEST(difference(a.parameters, b.parameters) < 1e-3);
      BOOST_TEST(difference(a.first_moment, b.first_moment) < 2e-2);
      BOOST_TEST(difference(a.second_moment, b.second_moment) < 2e-2);
    }
  }
  check_bits(now, "finished");
}

BOOST_AUTO_TEST_CASE(what_was_interrupted_is_resumed_to_its_end) {
  const TemporaryFolder folder;
  const std::string run = copy_of("interrupted", folder);
  const std::string experiment = manifest_of(run).at("experiment");
  BOOST_REQUIRE(train_config(run + "/config.yaml", {data_here()}, true) == 0);
  const Json manifest = manifest_of(run);
  BOOST_TEST(manifest.at("version") == 2);
  BOOST_TEST(manifest.at("experiment") == experiment);
  BOOST_TEST(manifest.at("keys").at("model.width") == "16");
  BOOST_TEST(!manifest.at("keys").contains("data.format"));
  std::map<std::pair<int, int>, int> rows;
  for (const std::string& line : testing::lines(run + "/ledger.jsonl")) {
    const Json row = Json::parse(line);
    if (row.at("type") == "step") ++rows[{row.at("block").get<int>(), row.at("step").get<int>()}];
  }
  BOOST_TEST(rows.size() == 4U * 400U);
  for (const auto& [key, times] : rows) BOOST_TEST(times == 1, "block " << key.first << " step " << key.second);
  for (int block = 0; block < 4; ++block) {
    const State s = read_state(run, block);
    BOOST_TEST(s.header.step == 400);
    BOOST_TEST(s.header.experiment == experiment);
  }
  check_bits(run, "interrupted");
  // Again, with the manifest of this version.
  BOOST_TEST(train_config(run + "/config.yaml", {data_here()}, true) == 0);
}

BOOST_AUTO_TEST_CASE(another_config_is_refused_with_the_keys_that_differ) {
  const TemporaryFolder folder;
  const std::string run = copy_of("interrupted", folder);
  const auto says = [](const std::string& what) {
    return [what](const InputError& e) {
      BOOST_TEST_MESSAGE(e.what());
      return std::string(e.what()).find(what) != std::string::npos;
    };
  };
  BOOST_CHECK_EXCEPTION(train_config(run + "/config.yaml", {data_here(), "model.heads=4"}, true), InputError,
                        says("model.heads: 2 in the run, 4 now"));
  // Where config.yaml is no longer what the checkpoints were trained with, it says nothing of them.
  std::string text = content(run + "/config.yaml");
  const std::string was = "  heads: 2\n";
  text.replace(text.find(was), was.size(), "  heads: 4\n");
  std::ofstream(run + "/config.yaml") << text;
  BOOST_CHECK_EXCEPTION(train_config(run + "/config.yaml", {data_here()}, true), InputError,
                        says("run_start rows of the ledger"));
}

}  // namespace blocktrain::trainer
