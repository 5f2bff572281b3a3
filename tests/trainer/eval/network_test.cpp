// A run as a network: which weights are loaded, what is refused, and that images depend on nothing but their key.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "blocks/parameters.hpp"
#include "tests/trainer/eval/support.hpp"
#include "trainer/checkpoint/block_file.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/tasks/images/image_generator.hpp"
#include "trainer/tasks/images/images_options.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
using namespace testing;

namespace {

namespace fs = std::filesystem;

std::vector<std::int32_t> labels(int count) {
  std::vector<std::int32_t> l;
  for (int i = 0; i < count; ++i) l.push_back(i % 10);
  return l;
}

std::vector<float> generate(const std::string& run, int count, GenerationSettings settings, int threads) {
  TrainedNetwork network(task_of, run, {"parallel.threads=" + std::to_string(threads)});
  return ImageGenerator(network).generate(labels(count), settings).images;
}

void set_number(const std::string& path, const std::string& from, const std::string& to) {
  std::string text = read_file(path);
  const std::size_t at = text.find(from);
  BOOST_REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  std::ofstream(path) << text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_finished_run_has_the_averages_of_its_newest_checkpoints) {
  const TrainedNetwork network(task_of, small_run(), {});
  BOOST_TEST(network.blocks() == 4);
  BOOST_TEST(network.steps() == (std::vector<std::int64_t>{60, 60, 60, 60}), boost::test_tools::per_element());
  BOOST_TEST(network.warnings().empty());
  BOOST_TEST(network.summary() == "4 blocks at step 60, averaged weights");
  for (int b = 0; b < 4; ++b) {
    const std::string file = checkpoint_files(small_run(), b).front();
    std::vector<float> weights(static_cast<std::size_t>(network.block(b).parameter_elements())), average = weights;
    BlockTensors<float> tensors;
    tensors.parameters = weights;
    tensors.average = average;
    read_block_file(file, read_block_header(file), network.block(b).parameters(), tensors);
    const float* loaded = network.parameters(b).as<float>();
    BOOST_TEST(std::equal(average.begin(), average.end(), loaded));
    BOOST_TEST(!std::equal(weights.begin(), weights.end(), loaded));
  }
}

BOOST_AUTO_TEST_CASE(without_an_average_it_has_the_weights) {
  const TemporaryFolder folder;
  const std::string run = folder.path("plain");
  BOOST_REQUIRE(train_small(run, 1, {"optimizer.average_decay=0", "budget.steps=4"}) == 0);
  const TrainedNetwork network(task_of, run, {});
  BOOST_TEST(network.summary() == "4 blocks at step 4");
  const std::string file = checkpoint_files(run, 2).front();
  std::vector<float> weights(static_cast<std::size_t>(network.block(2).parameter_elements()));
  BlockTensors<float> tensors;
  tensors.parameters = weights;
  read_block_file(file, read_block_header(file), network.block(2).parameters(), tensors);
  BOOST_TEST(std::equal(weights.begin(), weights.end(), network.parameters(2).as<float>()));
}

BOOST_AUTO_TEST_CASE(an_image_depends_on_its_key_alone) {
  for (const SamplerKind sampler : {SamplerKind::euler, SamplerKind::heun, SamplerKind::ancestral}) {
    const GenerationSettings settings{5, sampler, 1.5, 7};
    const std::vector<float> many = generate(small_run(), 150, settings, 1);  // more than one batch
    for (const int count : {1, 3, 129}) {
      const std::vector<float> few = generate(small_run(), count, settings, count == 3 ? 3 : 1);
      BOOST_TEST(std::memcmp(few.data(), many.data(), few.size() * sizeof(float)) == 0,
                 count << " images, sampler " << static_cast<int>(sampler));
    }
    BOOST_TEST(generate(small_run(), 3, {5, sampler, 1.5, 8}, 1) !=
               std::vector<float>(many.begin(), many.begin() + 3 * 64));
  }
}

BOOST_AUTO_TEST_CASE(operations_are_those_of_one_block_per_step) {
  TrainedNetwork local(task_of, small_run(), {}), whole(task_of, small_twin(), {});
  const auto flops = [](TrainedNetwork& n, GenerationSettings s) {
    return ImageGenerator(n).generate(labels(3), s).flops_per_image;
  };
  double sum = 0;
  for (int b = 0; b < 4; ++b) sum += local.block(b).flops().forward;
  BOOST_TEST(flops(local, {4, SamplerKind::euler, 1, 0}) == sum);
  BOOST_TEST(flops(local, {4, SamplerKind::euler, 2, 0}) == 2 * sum);
  BOOST_TEST(flops(whole, {4, SamplerKind::euler, 1, 0}) == 4 * whole.block(0).flops().forward);
  BOOST_TEST(flops(whole, {4, SamplerKind::heun, 1, 0}) == 7 * whole.block(0).flops().forward);
}

BOOST_AUTO_TEST_CASE(a_damaged_newest_checkpoint_falls_back_and_says_so) {
  const TemporaryFolder folder;
  const std::string run = copy_of_run(folder, "run");
  const std::vector<std::string> files = checkpoint_files(run, 1);
  BOOST_REQUIRE(files.size() == 2);
  damage(files[0]);
  const TrainedNetwork network(task_of, run, {});
  BOOST_TEST(network.steps() == (std::vector<std::int64_t>{60, 30, 60, 60}), boost::test_tools::per_element());
  std::string all;
  for (const std::string& w : network.warnings()) all += w + "\n";
  BOOST_TEST(all.find(fs::path(files[0]).filename().string()) != std::string::npos);
  BOOST_TEST(all.find("60, 30, 60, 60") != std::string::npos);
  BOOST_TEST(all.find("step 30 of 60") != std::string::npos);
  damage(files[1]);
  BOOST_TEST(refuses("no usable checkpoint of block 1", [&] { TrainedNetwork(task_of, run, {}); }));
}

BOOST_AUTO_TEST_CASE(what_is_no_run_is_refused) {
  const TemporaryFolder folder;
  BOOST_TEST(refuses("is not a RUN folder", [&] { TrainedNetwork(task_of, folder.path("nothing"), {}); }));
  fs::create_directory(folder.path("empty"));
  BOOST_TEST(refuses("is not a RUN folder", [&] { TrainedNetwork(task_of, folder.path("empty"), {}); }));

  const std::string fresh = copy_of_run(folder, "fresh");
  fs::remove_all(fresh + "/checkpoints");
  BOOST_TEST(refuses("has no checkpoint: let the run", [&] { TrainedNetwork(task_of, fresh, {}); }));

  const std::string without = copy_of_run(folder, "without");
  fs::remove(without + "/data.json");
  BOOST_TEST(refuses("data.json", [&] { TrainedNetwork(task_of, without, {"data.path=/nowhere"}); }));
  const TrainedNetwork by_the_data(task_of, without, {});
  BOOST_TEST(by_the_data.warnings().front().find("data.json is missing") != std::string::npos);
  BOOST_TEST((by_the_data.data().layout == TrainedNetwork(task_of, small_run(), {}).data().layout));
}

BOOST_AUTO_TEST_CASE(facts_of_the_data_that_cannot_be_are_refused) {
  const TemporaryFolder folder;
  const std::string run = copy_of_run(folder, "run"), facts = run + "/data.json";
  const std::string sound = read_file(facts);
  const auto refused = [&](const std::string& from, const std::string& to, const std::string& part) {
    std::ofstream(facts) << sound;
    set_number(facts, from, to);
    return refuses(part, [&] { TrainedNetwork(task_of, run, {}); });
  };
  BOOST_TEST(refused("\"height\": 8", "\"height\": 1048576", "1048576"));
  BOOST_TEST(refused("\"height\": 8", "\"height\": 7", "model.patch"));
  BOOST_TEST(refused("\"classes\": 10", "\"classes\": 11", "block-0000"));
  BOOST_TEST(refused("\"deviation\": ", "\"deviation\": -", "deviation"));
}

BOOST_AUTO_TEST_CASE(every_task_that_a_config_knows_is_there) {
  for (const TaskEntry& entry : task_entries()) {
    const auto is_it = [&](const Task* task) { return task->name() == entry.name; };
    BOOST_TEST(std::ranges::count_if(tasks(), is_it) == 1, entry.name);
  }
  BOOST_TEST(task_of(Config{}).name() == "images");
}

BOOST_AUTO_TEST_CASE(only_what_says_nothing_about_the_weights_can_be_overridden) {
  const TrainedNetwork network(task_of, small_run(), {"eval.guidance=3", "parallel.threads=2", "data.path=elsewhere"});
  BOOST_TEST(network.config().task.as<ImagesOptions>().guidance == 3);
  for (const char* key : {"seed=3", "model.width=32", "noise.sigma_max=40", "data.batch=3", "log.directory=x"}) {
    BOOST_TEST(refuses("accepted: keys of eval.*", [&] { TrainedNetwork(task_of, small_run(), {key}); }));
  }
  BOOST_TEST(refuses("data.path=FOLDER", [&] { network.open_data(); }));
}

BOOST_AUTO_TEST_CASE(other_data_than_those_of_the_training_are_refused) {
  const TemporaryFolder folder;
  const std::string source = std::string(std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR")) + "/tests/fixtures/digits";
  fs::copy(source, folder.path("data"));
  const TrainedNetwork moved(task_of, small_run(), {"data.path=" + folder.path("data")});
  BOOST_TEST(moved.open_data()->count(Split::train) == 60);
  fs::copy_file(source + "/t10k-labels-idx1-ubyte.gz", folder.path("data/train-labels-idx1-ubyte.gz"),
                fs::copy_options::overwrite_existing);
  fs::copy_file(source + "/t10k-images-idx3-ubyte.gz", folder.path("data/train-images-idx3-ubyte.gz"),
                fs::copy_options::overwrite_existing);
  BOOST_TEST(refuses("holds other data", [&] { moved.open_data(); }));
}

}  // namespace blocktrain::trainer
