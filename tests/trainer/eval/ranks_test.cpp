// A trained network on several ranks: who reads which file, the same weights, images and results on any number of
// ranks, and errors that end all of them with one message.

#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "comm/local/local_world.hpp"
#include "tests/pretended_gpu/pretend_gpu.hpp"
#include "tests/trainer/eval/support.hpp"
#include "trainer/eval/evaluation_device.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/tasks/images/eval_file.hpp"
#include "trainer/tasks/images/evaluation.hpp"
#include "trainer/tasks/images/image_generator.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
using namespace testing;

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Overrides = std::vector<std::string>;

const Overrides on_one_thread{"parallel.threads=1", "eval.batch=7"};
constexpr std::chrono::milliseconds patience{60000};

/// `body` on `ranks` ranks as threads.
void on_ranks(int ranks, const std::function<void(EvaluationRanks&)>& body) {
  comm::run_local_world(ranks, [&](comm::Communicator& world) {
    EvaluationRanks shared(world, patience);
    body(shared);
    shared.finish();
  });
}

/// What each rank threw: "input: ...", "quiet CODE", "other: ...", or empty.
std::vector<std::string> thrown(int ranks, const std::function<void(EvaluationRanks&)>& body) {
  std::vector<std::string> all(static_cast<std::size_t>(ranks));
  on_ranks(ranks, [&](EvaluationRanks& shared) {
    std::string& mine = all[static_cast<std::size_t>(shared.rank())];
    try {
      body(shared);
    } catch (const QuietExit& e) {
      mine = "quiet " + std::to_string(e.code());
    } catch (const InputError& e) {
      mine = std::string("input: ") + e.what();
    } catch (const std::exception& e) {
      mine = std::string("other: ") + e.what();
    }
  });
  return all;
}

/// Whether rank 0 says `part` of wrong input, and the others end with its exit code and say nothing.
bool said_once(const std::vector<std::string>& all, const std::string& part) {
  for (const std::string& text : all) BOOST_TEST_MESSAGE(text);
  return all.front().rfind("input: ", 0) == 0 && all.front().find(part) != std::string::npos &&
         std::all_of(all.begin() + 1, all.end(), [](const std::string& text) { return text == "quiet 2"; });
}

[[maybe_unused]] Json results(const EvalResult& result) {
  Json j = Json::parse(to_json(result));
  for (const char* key : {"time", "seconds", "ranks"}) j.erase(key);
  for (const char* network : {"run", "twin"}) {
    if (j[network].is_null()) continue;
    for (auto& g : j[network]["generation"]) g.erase("seconds_per_image");
  }
  return j;
}

std::vector<std::int32_t> labels(int count) {
  std::vector<std::int32_t> l;
  for (int i = 0; i < count; ++i) l.push_back(i % 10);
  return l;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool same_weights(const TrainedNetwork& a, const TrainedNetwork& b) {
  for (int block = 0; block < a.blocks(); ++block) {
    const kernels::Tensor &x = a.parameters(block), &y = b.parameters(block);
    if (x.bytes() != y.bytes() || std::memcmp(x.data, y.data, x.bytes()) != 0) return false;
  }
  return a.steps() == b.steps() && a.blocks() == b.blocks();
}

/// The folder as rank `rank` of `ranks` sees it: with no file that it is not to read.
std::string folder_of_rank(const TemporaryFolder& folder, int rank, int ranks) {
  const std::string run = copy_of_run(folder, std::to_string(rank) + "-of-" + std::to_string(ranks));
  if (rank == 0) return run;
  for (int block = 0; block < 4; ++block) {
    for (const std::string& file : checkpoint_files(run, block)) {
      if (block % ranks != rank) fs::remove(file);
    }
  }
  for (const char* name : {"/checkpoints/manifest.json", "/config.yaml", "/data.json"}) fs::remove(run + name);
  return run;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_rank_reads_its_own_blocks_and_has_all) {
  const TrainedNetwork whole(task_of, small_run(), on_one_thread);
  for (const int ranks : {2, 3, 5}) {
    const TemporaryFolder folder;
    std::vector<std::string> folders;
    for (int rank = 0; rank < ranks; ++rank) folders.push_back(folder_of_rank(folder, rank, ranks));
    std::vector<char> same(static_cast<std::size_t>(ranks));
    on_ranks(ranks, [&](EvaluationRanks& shared) {
      const auto me = static_cast<std::size_t>(shared.rank());
      const TrainedNetwork network(task_of, shared, folders[me], on_one_thread);
      same[me] = same_weights(network, whole) && network.summary() == whole.summary();
    });
    BOOST_TEST(std::count(same.begin(), same.end(), 1) == ranks, ranks << " ranks");
  }
}

#ifndef __SANITIZE_THREAD__  // which sees the same threads below, without the judge's training
BOOST_AUTO_TEST_CASE(an_evaluation_does_not_depend_on_the_number_of_ranks) {
  EvalProgress silent(nullptr, false);
  Overrides few = on_one_thread;
  few.insert(few.end(), {"eval.samples=24", "eval.steps=[4]"});
  TrainedNetwork run(task_of, small_run(), few), twin(task_of, small_twin(), few);
  const Json expected = results(evaluate_run(run, &twin, silent));
  Json found;
  std::atomic<int> empty = 0;
  on_ranks(3, [&](EvaluationRanks& shared) {
    EvalProgress no_words(nullptr, false);
    TrainedNetwork shared_run(task_of, shared, small_run(), few), shared_twin(task_of, shared, small_twin(), few);
    const EvalResult result = evaluate_run(shared_run, &shared_twin, no_words);
    if (shared.leads()) {
      found = results(result);
    } else {
      empty += result.run.generation.empty() && result.run.denoising.intervals.empty();
    }
  });
  BOOST_TEST(found == expected);
  BOOST_TEST(empty == 2);
}
#endif

BOOST_AUTO_TEST_CASE(losses_do_not_depend_on_the_number_of_ranks) {
  const auto measure = [](TrainedNetwork& network) {
    const DenoisingLosses found = measure_denoising(network, *network.open_data(), network.config(), 9);
    std::vector<double> all{found.loss, found.mse};
    for (const LevelLoss& l : found.levels) all.insert(all.end(), {l.loss, l.mse});
    for (const IntervalLoss& i : found.intervals) all.insert(all.end(), {i.loss, i.mse});
    return all;
  };
  TrainedNetwork alone(task_of, small_run(), on_one_thread);
  const std::vector<double> expected = measure(alone);
  for (const int ranks : {1, 2, 3, 5}) {
    std::vector<double> found;
    on_ranks(ranks, [&](EvaluationRanks& shared) {
      TrainedNetwork network(task_of, shared, small_run(), on_one_thread);
      std::vector<double> mine = measure(network);
      if (shared.leads()) found = std::move(mine);
    });
    BOOST_TEST(found == expected, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(images_do_not_depend_on_the_number_of_ranks) {
  const GenerationSettings settings{5, SamplerKind::ancestral, 1.5, 7};
  TrainedNetwork alone(task_of, small_run(), on_one_thread);
  const GeneratedImages expected = ImageGenerator(alone).generate(labels(40), settings);
  for (const int ranks : {1, 2, 3, 5}) {
    GeneratedImages made;
    std::int64_t last = 0;
    on_ranks(ranks, [&](EvaluationRanks& shared) {
      TrainedNetwork network(task_of, shared, small_run(), on_one_thread);
      const auto report = [&](std::int64_t done, std::int64_t total) { last = done <= total ? done : -1; };
      GeneratedImages mine = ImageGenerator(network).generate(labels(40), settings, report);
      if (shared.leads()) made = std::move(mine);
    });
    BOOST_TEST(same_bits(made.images, expected.images), ranks << " ranks");
    BOOST_TEST(made.flops_per_image == expected.flops_per_image);
    BOOST_TEST(last == 40);
  }
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_said_once) {
  const TemporaryFolder folder;
  const auto refused = [](const std::string& run, const Overrides& overrides, const std::string& part) {
    return said_once(thrown(3, [&](EvaluationRanks& shared) { TrainedNetwork(task_of, shared, run, overrides); }),
                     part);
  };
  BOOST_TEST(refused(folder.path("nothing"), {}, "is not a RUN folder"));
  BOOST_TEST(refused(small_run(), {"seed=3"}, "accepted: keys of eval.*"));
  const std::string fresh = copy_of_run(folder, "fresh");
  fs::remove_all(fresh + "/checkpoints");
  BOOST_TEST(refused(fresh, {}, "has no checkpoint: let the run"));
  const std::string damaged = copy_of_run(folder, "damaged");
  for (const std::string& file : checkpoint_files(damaged, 2)) damage(file);
  BOOST_TEST(refused(damaged, {}, "no usable checkpoint of block 2"));
  if (kernels::cuda_devices(nullptr) == 0) {
    BOOST_TEST(refused(small_run(), {"parallel.device=cuda"}, "--set parallel.device=cpu"));
  }
  const auto no_data = thrown(3, [&](EvaluationRanks& shared) {
    EvalProgress silent(nullptr, false);
    TrainedNetwork network(task_of, shared, small_run(), {"parallel.threads=1", "data.path=/nowhere"});
    evaluate_run(network, nullptr, silent);
  });
  BOOST_TEST(said_once(no_data, "data.path=FOLDER"));
}

BOOST_AUTO_TEST_CASE(the_rank_that_reads_a_broken_file_is_named) {
  const TemporaryFolder folder;
  const std::string sound = folder_of_rank(folder, 0, 2), broken = folder_of_rank(folder, 1, 2);
  const std::string file = fs::path(checkpoint_files(sound, 3).front()).filename().string();
  const std::string of_rank_1 = broken + "/checkpoints/" + file;
  fs::resize_file(of_rank_1, fs::file_size(of_rank_1) / 2);
  const auto all = thrown(2, [&](EvaluationRanks& shared) {
    TrainedNetwork(task_of, shared, shared.leads() ? sound : broken, on_one_thread);
  });
  BOOST_TEST(said_once(all, "rank 1: "));
  BOOST_TEST(said_once(all, file));
}

BOOST_AUTO_TEST_CASE(ranks_that_share_a_gpu_need_its_memory_together) {
  const PretendGpu gpu(1000);
  const auto planned = [](std::int64_t batch) { return static_cast<std::size_t>(100 + 50 * batch); };
  require_device_memory(gpu, 1, 16, planned);
  require_device_memory(gpu, 2, 8, planned);
  BOOST_TEST(refuses("--set eval.batch=8 would fit", [&] { require_device_memory(gpu, 2, 16, planned); }));
  BOOST_TEST(refuses("(2 ranks)", [&] { require_device_memory(gpu, 2, 16, planned); }));
  BOOST_TEST(refuses("as many ranks as there are GPUs", [&] { require_device_memory(gpu, 20, 16, planned); }));
}

BOOST_AUTO_TEST_CASE(ranks_of_a_host_need_its_memory_together) {
  const auto planned = [](std::int64_t batch) { return static_cast<std::size_t>(100 + 50 * batch); };
  const MemoryBound group{"group 1:7", 2000, 10, "control group /job", "give it more, or: "};
  MemoryBound process = group;
  process.of_process = true;
  require_host_memory({}, 9, 1000, planned);
  require_host_memory({group}, 1, 32, planned);
  require_host_memory({process}, 9, 32, planned);
  BOOST_TEST(refuses("control group /job leaves 1.95 KiB: give it more, or: --set eval.batch=16 would fit",
                     [&] { require_host_memory({group}, 2, 32, planned); }));
  BOOST_TEST(refuses("no eval.batch would fit", [&] { require_host_memory({group}, 20, 32, planned); }));
}

}  // namespace blocktrain::trainer
