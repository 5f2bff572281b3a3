// Runs that tell classes, from training to eval.json: block-local, end to end, of the first blocks alone, on several
// ranks; and what such runs refuse.

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "comm/local/local_world.hpp"
#include "tests/pretended_gpu/pretend_gpu.hpp"
#include "tests/trainer/eval/support.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/tasks/labels/label_eval_file.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
using namespace testing;

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const TemporaryFolder& folder() {
  static const TemporaryFolder f;
  return f;
}

std::string trained(const std::string& name, const std::string& training) {
  const std::string run = folder().path(name);
  BOOST_REQUIRE(train_small(run, 1,
                            {"model.architecture=vit", "blocks.training=" + training, "blocks.count=2",
                             "data.flip=true", "data.crop_padding=1", "data.rand_augment=1", "budget.steps=30",
                             "optimizer.learning_rate=1e-2", "parallel.device=cpu", "checkpoint.every_steps=30",
                             "eval.every_steps=30", "eval.images=20", "eval.steps=[2, 3]"}) == 0);
  return run;
}

/// A block-local run of two blocks, and its end-to-end twin.
const std::string& local() {
  static const std::string run = trained("local", "block_local");
  return run;
}
const std::string& whole() {
  static const std::string run = trained("whole", "end_to_end");
  return run;
}

Json evaluate(const std::string& run, const EvalArguments& more = {}) {
  EvalArguments arguments = more;
  arguments.run = run;
  arguments.out = folder().path("result.json");
  BOOST_REQUIRE(eval_command(arguments) == 0);
  return Json::parse(read_file(arguments.out));
}

EvalArguments first_blocks(std::vector<int> blocks) {
  EvalArguments arguments;
  arguments.blocks = std::move(blocks);
  return arguments;
}

/// The last row of an evaluation in the ledger.
Json last_eval_row(const std::string& run, const Json& block) {
  Json last;
  for (const std::string& line : lines(run + "/ledger.jsonl")) {
    Json row = Json::parse(line);
    if (row.at("type") == "eval" && row.at("block") == block) last = std::move(row);
  }
  return last;
}

}  // namespace

BOOST_AUTO_TEST_CASE(eval_of_the_assembled_network) {
  const Json j = evaluate(local());
  BOOST_TEST(j.at("format") == "blocktrain-eval");
  BOOST_TEST(j.at("version") == 1);
  BOOST_TEST(j.at("settings").at("task") == "labels");
  BOOST_TEST(j.at("settings").at("images") == 20);
  BOOST_TEST(j.at("twin").is_null());
  const Json& run = j.at("run");
  BOOST_TEST(run.at("blocks") == 2);
  BOOST_TEST(run.at("of_blocks") == 2);
  BOOST_REQUIRE(run.at("answers").size() == 2U);
  BOOST_TEST(run.at("answers").at(0).at("steps") == 2);
  BOOST_TEST(run.at("answers").at(1).at("steps") == 3);
  BOOST_TEST(run.at("levels").size() == 17U);  // 16 and an edge
  BOOST_TEST(run.at("levels").at(0).at("sigma") == 6.0);
  BOOST_TEST(run.at("cross_entropy_at_sigma_max") == run.at("levels").at(0).at("cross_entropy"));
  BOOST_TEST(run.at("accuracy_at_sigma_max") == run.at("levels").at(0).at("accuracy"));
  // At the lowest level the class is in plain sight.
  BOOST_TEST(run.at("levels").back().at("accuracy") == 1.0);
  BOOST_TEST(run.at("levels").back().at("cross_entropy").get<double>() <
             run.at("cross_entropy_at_sigma_max").get<double>());
  const Json row = last_eval_row(local(), nullptr);
  BOOST_TEST(row.at("metrics").at("cross_entropy_at_sigma_max") == run.at("cross_entropy_at_sigma_max"));
  BOOST_TEST(row.at("metrics").at("accuracy_3_steps") == run.at("answers").at(1).at("accuracy"));
}

BOOST_AUTO_TEST_CASE(an_end_to_end_network_answers_at_once_as_its_held_out_loss_said) {
  const Json j = evaluate(whole());
  const Json& run = j.at("run");
  BOOST_TEST(run.at("levels").empty());
  BOOST_REQUIRE(run.at("answers").size() == 1U);
  BOOST_TEST(run.at("answers").at(0).at("steps") == 0);
  BOOST_TEST(run.at("cross_entropy_at_sigma_max") == run.at("answers").at(0).at("cross_entropy"));
  // All 20 held-out images, by the averaged weights, while it trained.
  const double heldout = last_eval_row(whole(), 0).at("metrics").at("heldout_loss");
  BOOST_TEST(run.at("answers").at(0).at("cross_entropy").get<double>() == heldout, boost::test_tools::tolerance(1e-5));
  BOOST_TEST(last_eval_row(whole(), nullptr).at("metrics").contains("accuracy"));
}

BOOST_AUTO_TEST_CASE(a_twin_of_another_task_is_refused_either_way) {
  const std::string images = folder().path("images");
  BOOST_REQUIRE(train_small(images, 1, {"budget.steps=5", "checkpoint.every_steps=5", "parallel.device=cpu"}) == 0);
  for (const auto& [run, twin] : {std::pair(images, whole()), std::pair(whole(), images), std::pair(local(), images)}) {
    EvalArguments arguments;
    arguments.run = run;
    arguments.twin = twin;
    arguments.out = folder().path("refused.json");
    BOOST_CHECK_EXCEPTION(eval_command(arguments), InputError, [](const InputError& e) {
      return std::string(e.what()).find("the task (model.architecture)") != std::string::npos;
    });
    BOOST_TEST(!fs::exists(arguments.out));
  }
}

BOOST_AUTO_TEST_CASE(what_is_measured_of_the_first_blocks_alone_leaves_the_whole_s_file) {
  EvalArguments arguments = first_blocks({0});
  arguments.run = local();
  BOOST_REQUIRE(eval_command(arguments) == 0);
  BOOST_TEST(fs::exists(local() + "/eval.blocks-0.json"));
  BOOST_TEST(!fs::exists(local() + "/eval.json"));
}

BOOST_AUTO_TEST_CASE(a_twin_stands_beside_the_run_whichever_is_which) {
  EvalArguments arguments;
  arguments.twin = whole();
  const Json one = evaluate(local(), arguments);
  arguments.twin = local();
  const Json other = evaluate(whole(), arguments);
  for (const char* part : {"answers", "levels"}) {
    BOOST_TEST(one.at("run").at(part) == other.at("twin").at(part));
    BOOST_TEST(one.at("twin").at(part) == other.at("run").at(part));
  }
  BOOST_TEST(!one.at("run").at("levels").empty());
}

BOOST_AUTO_TEST_CASE(the_first_block_is_evaluated_without_the_checkpoints_of_the_others) {
  const Json both = evaluate(local()).at("run");
  const std::string run = folder().path("first");
  fs::copy(local(), run, fs::copy_options::recursive);
  for (const std::string& file : checkpoint_files(run, 1)) fs::remove(file);
  BOOST_TEST(refuses("no usable checkpoint of block 1", [&] { evaluate(run); }));
  const Json alone = evaluate(run, first_blocks({0})).at("run");
  BOOST_TEST(alone.at("blocks") == 1);
  BOOST_TEST(alone.at("of_blocks") == 2);
  BOOST_TEST(alone.at("steps").size() == 1U);
  BOOST_TEST(alone.at("summary") == "the first block at step 30, averaged weights");
  BOOST_REQUIRE(alone.at("answers").size() == 1U);
  BOOST_TEST(alone.at("answers").at(0).at("steps") == 1);
  BOOST_TEST(alone.at("cross_entropy_at_sigma_max") == both.at("cross_entropy_at_sigma_max"));
  const auto levels = alone.at("levels").size();
  BOOST_TEST(levels < both.at("levels").size());
  for (std::size_t i = 0; i < levels; ++i) BOOST_TEST(alone.at("levels").at(i) == both.at("levels").at(i));
  // One step is block 0's as well where all are there.
  EvalArguments one_step;
  one_step.overrides = {"eval.steps=[1]"};
  BOOST_TEST(evaluate(local(), one_step).at("run").at("answers") == alone.at("answers"));
  BOOST_TEST(last_eval_row(run, nullptr).at("metrics").contains("first_1_blocks_accuracy_1_steps"));
  // Both blocks are the whole network.
  BOOST_TEST(evaluate(local(), first_blocks({0, 1})).at("run") == both);
}

BOOST_AUTO_TEST_CASE(other_blocks_than_the_first_are_refused) {
  BOOST_TEST(refuses("--blocks: found 1; accepted: 0, or 0,1", [] { evaluate(local(), first_blocks({1})); }));
  BOOST_TEST(refuses("--blocks: found 1, 0", [] { evaluate(local(), first_blocks({1, 0})); }));
  BOOST_TEST(refuses("--blocks: found 0, 0", [] { evaluate(local(), first_blocks({0, 0})); }));
  BOOST_TEST(refuses("--blocks: found 3 blocks, but", [] { evaluate(local(), first_blocks({0, 1, 2})); }));
  BOOST_TEST(refuses("was trained for the task 'images'", [] { evaluate(small_run(), first_blocks({0})); }));
}

BOOST_AUTO_TEST_CASE(ranks_threads_and_batches_change_no_bit) {
  const Json one = evaluate(local()).at("run");
  EvalArguments arguments;
  arguments.overrides = {"parallel.threads=3", "eval.batch=7"};
  const Json other = evaluate(local(), arguments).at("run");
  for (const char* part : {"answers", "levels"}) BOOST_TEST(one.at(part) == other.at(part));
  for (const FirstBlocks first : {FirstBlocks{}, FirstBlocks{1}}) {
    const Json alone = first.count == 0 ? one : evaluate(local(), first_blocks({0})).at("run");
    comm::run_local_world(3, [&](comm::Communicator& world) {
      EvaluationRanks ranks(world, std::chrono::seconds(60));
      TrainedNetwork network(task_of, ranks, local(), {"parallel.threads=1"}, nullptr, first);
      EvalProgress silent(nullptr, false);
      const LabelEvalResult result = evaluate_labels(network, nullptr, silent);
      ranks.finish();
      if (!ranks.leads()) return;
      const Json shared = Json::parse(to_json(result));
      BOOST_TEST(shared.at("ranks") == 3);
      for (const char* part : {"answers", "levels"}) BOOST_TEST(shared.at("run").at(part) == alone.at(part));
    });
  }
}

BOOST_AUTO_TEST_CASE(a_device_with_memory_of_its_own_finds_the_same) {
  for (const std::string& run : {local(), whole()}) {
    const auto scores = [&](std::unique_ptr<kernels::Device> device) {
      TrainedNetwork network(task_of, run, {"eval.batch=6", "parallel.threads=1"}, std::move(device));
      EvalProgress silent(nullptr, false);
      Json j = Json::parse(to_json(evaluate_labels(network, nullptr, silent))).at("run");
      j.erase("computed_on");
      return j;
    };
    BOOST_TEST(scores(std::make_unique<PretendGpu>()) == scores(nullptr));
  }
}

BOOST_AUTO_TEST_CASE(a_run_that_tells_classes_has_nothing_to_generate) {
  GenerateArguments arguments;
  arguments.run = local();
  arguments.out = folder().path("none.png");
  BOOST_TEST(refuses("the task 'labels' makes nothing that could be written", [&] { generate_command(arguments); }));
  BOOST_TEST(!fs::exists(arguments.out));
}

BOOST_AUTO_TEST_CASE(tables_say_what_to_compare_by) {
  const ClassScore score{0.875, 0.5};
  LabelEvalResult r;
  r.run.folder = "runs/a";
  r.run.blocks = r.run.of_blocks = 3;
  r.run.steps = {70, 60, 80};
  r.run.scores.samples = 16;
  r.run.scores.answers = {{4, {0.75, 0.25}, 2e6}};
  r.run.scores.levels = {{{6, 0, false}, score}, {{0.5, 1, true}, {1, 0.125}}};
  const std::string table = to_table(r);
  BOOST_TEST(table.find("cross-entropy at sigma_max 0.5000, accuracy 87.50%") != std::string::npos, table);
  BOOST_TEST(table.find("4     75.00%         0.2500") != std::string::npos, table);
  BOOST_TEST(ledger_row(r).step == 60);
}

}  // namespace blocktrain::trainer
