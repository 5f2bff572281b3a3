// Runs that find masked tokens, from training to eval.json and texts: block-local, end to end, on several ranks; and
// what such runs refuse.

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>

#include "comm/local/local_world.hpp"
#include "tests/pretended_gpu/pretend_gpu.hpp"
#include "tests/trainer/eval/support.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/tasks/tasks.hpp"
#include "trainer/tasks/tokens/masked_generator.hpp"
#include "trainer/tasks/tokens/token_eval_file.hpp"

namespace blocktrain::trainer {
using namespace testing;

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const TemporaryFolder& folder() {
  static const TemporaryFolder f;
  return f;
}

std::string config_of(const std::string& name, const std::string& training) {
  const std::string source = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR"), run = folder().path(name);
  std::ofstream(run + ".yaml") << "log: {directory: '" << run << "'}\n"
                               << "data: {path: '" << source << "/tests/fixtures/text/coriolanus.txt', batch: 12}\n"
                               << "model: {architecture: masked, context: 16, layers: 4, width: 16, heads: 2}\n"
                               << "blocks: {count: 2, training: " << training << "}\n"
                               << "optimizer: {learning_rate: 1e-2, warmup_steps: 2, average_decay: 0.9}\n"
                               << "budget: {steps: 40}\n"
                               << "eval: {windows: 20, every_steps: 40}\n"
                               << "checkpoint: {every_steps: 40}\n"
                               << "parallel: {threads: 1, timeout_seconds: 60, device: cpu}\n";
  return run;
}

std::string trained(const std::string& name, const std::string& training) {
  const std::string run = config_of(name, training);
  BOOST_REQUIRE(train_config(run + ".yaml", 1) == 0);
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

/// The lines that `generate` writes.
std::vector<Json> generate(const std::string& run, GenerateArguments arguments) {
  arguments.run = run;
  arguments.out = folder().path("texts.jsonl");
  BOOST_REQUIRE(generate_command(arguments) == 0);
  std::vector<Json> rows;
  for (const std::string& line : lines(arguments.out)) rows.push_back(Json::parse(line));
  return rows;
}

Json last_eval_row(const std::string& run, const Json& block) {
  Json last;
  for (const std::string& line : lines(run + "/ledger.jsonl")) {
    Json row = Json::parse(line);
    if (row.at("type") == "eval" && row.at("block") == block) last = std::move(row);
  }
  return last;
}

}  // namespace

BOOST_AUTO_TEST_CASE(eval_bounds_the_likelihood_of_held_out_text) {
  const Json j = evaluate(local());
  BOOST_TEST(j.at("format") == "blocktrain-eval");
  BOOST_TEST(j.at("settings").at("task") == "tokens");
  BOOST_TEST(j.at("settings").at("windows") == 20);
  BOOST_TEST(j.at("settings").at("draws") == 4);
  BOOST_TEST(j.at("data").contains("heldout_windows"));
  BOOST_TEST(j.at("twin").is_null());
  BOOST_TEST(j.at("text").at("tokens") == 20 * 16);
  BOOST_TEST(j.at("text").at("bytes") == 20 * 16);
  const Json& run = j.at("run");
  BOOST_REQUIRE(run.at("intervals").size() == 2U);
  BOOST_TEST(run.at("intervals").at(0).at("masked") == Json::array({8, 16}));
  BOOST_TEST(run.at("intervals").at(1).at("masked") == Json::array({0, 8}));
  BOOST_TEST(run.at("levels").size() == 16U);
  BOOST_TEST(run.at("levels").at(0).at("masked") == 16);
  BOOST_TEST(run.at("levels").at(8).at("block") == 1);
  // Half of the levels is each block's.
  const double first = run.at("intervals").at(0).at("loss"), second = run.at("intervals").at(1).at("loss");
  const double nats = run.at("bound").at("nats_per_token"), error = run.at("bound").at("standard_error");
  BOOST_TEST(nats == (first + second) / 2, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(run.at("bound").at("bits_per_character").get<double>() == nats / std::numbers::ln2,
             boost::test_tools::tolerance(1e-12));
  BOOST_TEST(run.at("bound").at("perplexity").get<double>() == std::exp(nats), boost::test_tools::tolerance(1e-12));
  // It has learnt what letters there are, and no more.
  BOOST_TEST(nats < 4.5);
  BOOST_TEST(nats > 1);
  BOOST_TEST(error > 0);
  BOOST_TEST(error < 0.2);
  const Json row = last_eval_row(local(), nullptr);
  BOOST_TEST(row.at("metrics").at("bound_nats_per_token").get<double>() == nats, boost::test_tools::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(logits_that_are_all_alike_are_bounded_by_the_vocabulary) {
  TrainedNetwork network(task_of, local(), {"parallel.threads=1"});
  for (int b = 0; b < network.blocks(); ++b) network.ops().fill(network.parameters(b), 0);
  EvalProgress silent(nullptr, false);
  const TokenEvalResult result = evaluate_tokens(network, nullptr, silent);
  BOOST_TEST(result.run.bound.nats_per_token == std::log(256.0), boost::test_tools::tolerance(1e-6));
  BOOST_TEST(result.run.bound.standard_error < 1e-6);
  for (const MaskedLevel& level : result.run.bound.levels) {
    BOOST_TEST(level.loss == std::log(256.0), boost::test_tools::tolerance(1e-6));
  }
}

BOOST_AUTO_TEST_CASE(a_twin_is_measured_with_the_same_masks) {
  EvalArguments arguments;
  arguments.twin = whole();
  const Json one = evaluate(local(), arguments);
  arguments.twin = local();
  const Json other = evaluate(whole(), arguments);
  for (const char* part : {"bound", "intervals", "levels"}) {
    BOOST_TEST(one.at("run").at(part) == other.at("twin").at(part));
    BOOST_TEST(one.at("twin").at(part) == other.at("run").at(part));
  }
  BOOST_TEST(one.at("run").at("bound") != one.at("twin").at("bound"));
  arguments.twin = small_run();
  BOOST_TEST(refuses("the task (model.architecture)", [&] { evaluate(local(), arguments); }));
}

BOOST_AUTO_TEST_CASE(ranks_threads_and_batches_change_no_bit_of_a_bound) {
  const Json one = evaluate(local()).at("run");
  EvalArguments arguments;
  arguments.overrides = {"parallel.threads=3", "eval.batch=7"};
  const Json other = evaluate(local(), arguments).at("run");
  for (const char* part : {"bound", "intervals", "levels"}) BOOST_TEST(one.at(part) == other.at(part));
  comm::run_local_world(3, [&](comm::Communicator& world) {
    EvaluationRanks ranks(world, std::chrono::seconds(60));
    TrainedNetwork network(task_of, ranks, local(), {"parallel.threads=1"});
    EvalProgress silent(nullptr, false);
    const TokenEvalResult result = evaluate_tokens(network, nullptr, silent);
    ranks.finish();
    if (!ranks.leads()) return;
    const Json shared = Json::parse(to_json(result));
    for (const char* part : {"bound", "intervals", "levels"}) BOOST_TEST(shared.at("run").at(part) == one.at(part));
  });
}

BOOST_AUTO_TEST_CASE(a_device_with_memory_of_its_own_makes_the_same_texts) {
  const auto result = [&](std::unique_ptr<kernels::Device> device) {
    TrainedNetwork network(task_of, local(), {"eval.batch=6", "parallel.threads=1"}, std::move(device));
    EvalProgress silent(nullptr, false);
    Json j = Json::parse(to_json(evaluate_tokens(network, nullptr, silent))).at("run");
    j.erase("computed_on");
    const std::vector<TokenPrompt> prompts{{'a', 'b'}, {}};
    j["texts"] = MaskedGenerator(network).generate(prompts, 5, 4, {}).tokens;
    return j;
  };
  BOOST_TEST(result(std::make_unique<PretendGpu>()) == result(nullptr));
}

BOOST_AUTO_TEST_CASE(texts_begin_with_their_prompts_and_do_not_depend_on_the_others) {
  GenerateArguments arguments;
  arguments.count = 5;
  arguments.seed = 3;
  arguments.prompts = {"CORIO", "the "};
  const std::vector<Json> five = generate(local(), arguments);
  BOOST_REQUIRE(five.size() == 5U);
  for (std::size_t i = 0; i < five.size(); ++i) {
    BOOST_TEST(five[i].at("sample") == i);
    BOOST_TEST(five[i].at("prompt") == arguments.prompts[i % 2]);
    BOOST_TEST(five[i].at("tokens").size() == 16U);
    const std::string begin = arguments.prompts[i % 2];
    for (std::size_t t = 0; t < begin.size(); ++t) BOOST_TEST(five[i].at("tokens").at(t) == begin[t]);
    for (const Json& token : five[i].at("tokens")) BOOST_TEST(token.get<int>() < 256);
  }
  arguments.count = 3;
  arguments.overrides = {"eval.batch=2", "parallel.threads=2"};
  const std::vector<Json> three = generate(local(), arguments);
  for (std::size_t i = 0; i < three.size(); ++i) BOOST_TEST(three[i] == five[i]);
  arguments.seed = 4;
  BOOST_TEST(generate(local(), arguments)[0] != three[0]);
  // The end-to-end network makes them by its one block.
  BOOST_TEST(generate(whole(), arguments).size() == 3U);
}

BOOST_AUTO_TEST_CASE(a_larger_vocabulary_is_still_text) {
  const std::string run = config_of("larger", "block_local");
  BOOST_REQUIRE(train_config(run + ".yaml", 1, {"data.vocabulary=300", "budget.steps=2", "eval.every_steps=0"}) == 0);
  GenerateArguments arguments;
  arguments.count = 2;
  arguments.prompts = {"the "};
  for (const Json& row : generate(run, arguments)) {
    BOOST_TEST(row.at("text").get<std::string>().starts_with("the "));
    // Ids beyond the tokenizer's stand for nothing, so none is drawn.
    for (const Json& token : row.at("tokens")) BOOST_TEST(token.get<int>() < 256);
  }
}

BOOST_AUTO_TEST_CASE(texts_are_the_same_whoever_shares_the_work) {
  const std::vector<TokenPrompt> prompts{{'a', 'b'}, {}};
  const auto made = [&](TrainedNetwork& network) {
    return MaskedGenerator(network).generate(prompts, 7, 5, {0.8, 0.9, UnmaskingOrder::confidence, 1});
  };
  TrainedNetwork alone(task_of, local(), {"parallel.threads=1", "eval.batch=2"});
  const GeneratedWindows expected = made(alone);
  // Five evaluations of two layers for each text, and logits of all of its tokens, whether masked or not.
  BOOST_TEST(expected.flops_per_window == 5 * alone.block(0).estimate_flops(), boost::test_tools::tolerance(1e-12));
  BOOST_TEST(alone.block(0).estimate_flops() > alone.block(0).flops().forward);
  BOOST_TEST(alone.block(0).estimate_flops() == alone.block(1).estimate_flops());
  comm::run_local_world(3, [&](comm::Communicator& world) {
    EvaluationRanks ranks(world, std::chrono::seconds(60));
    TrainedNetwork network(task_of, ranks, local(), {"parallel.threads=1", "eval.batch=2"});
    const GeneratedWindows windows = made(network);
    ranks.finish();
    if (ranks.leads()) BOOST_TEST(windows.tokens == expected.tokens, boost::test_tools::per_element());
  });
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_and_nothing_written) {
  const auto refused = [&](const std::string& part, const std::function<void(GenerateArguments&)>& change) {
    GenerateArguments arguments;
    arguments.run = local();
    arguments.out = folder().path("refused.jsonl");
    change(arguments);
    BOOST_TEST(refuses(part, [&] { generate_command(arguments); }));
    BOOST_TEST(!fs::exists(arguments.out));
  };
  refused("--prompt: found 16 tokens", [](GenerateArguments& a) { a.prompts = {"abc", "0123456789abcdef"}; });
  refused("--order: found 'confident'", [](GenerateArguments& a) { a.order = "confident"; });
  refused("did you mean confidence", [](GenerateArguments& a) { a.order = "confidance"; });
  refused("--top-p: found 0", [](GenerateArguments& a) { a.top_p = 0; });
  refused("--temperature: found -1", [](GenerateArguments& a) { a.temperature = -1; });
  refused("--labels: this run makes texts", [](GenerateArguments& a) { a.labels = {1}; });
  refused("--guidance: this run makes texts", [](GenerateArguments& a) { a.guidance = 2; });
  GenerateArguments pictures;
  pictures.run = small_run();
  pictures.out = folder().path("refused.png");
  pictures.prompts = {"a picture"};
  BOOST_TEST(refuses("--prompt: this run makes pictures", [&] { generate_command(pictures); }));
}

BOOST_AUTO_TEST_CASE(blocks_that_own_no_masks_are_refused) {
  const std::string run = config_of("too-many", "block_local");
  BOOST_TEST(refuses("found blocks.count 4 with model.context 3", [&] {
    train_config(run + ".yaml", 1, {"blocks.count=4", "model.context=3"});
  }));
  BOOST_TEST(refuses("noise.overlap", [&] { train_config(run + ".yaml", 1, {"noise.overlap=0.1"}); }));
  BOOST_TEST(!fs::exists(run));
}

BOOST_AUTO_TEST_CASE(weights_do_not_depend_on_ranks_or_on_a_stop) {
  const std::vector<std::string> expected = final_digests(local());
  BOOST_REQUIRE(expected.size() == 2U);
  const std::string two = config_of("two", "block_local");
  BOOST_REQUIRE(train_config(two + ".yaml", 2) == 0);
  BOOST_TEST(final_digests(two) == expected, boost::test_tools::per_element());
  const std::string resumed = config_of("resumed", "block_local");
  BOOST_REQUIRE(train_config(resumed + ".yaml", 1, {"budget.steps=15", "optimizer.decay_steps=40"}) == 0);
  BOOST_REQUIRE(train_config(resumed + ".yaml", 2, {"optimizer.decay_steps=40"}, true) == 0);
  const std::string at_once = config_of("at-once", "block_local");
  BOOST_REQUIRE(train_config(at_once + ".yaml", 1, {"optimizer.decay_steps=40"}) == 0);
  BOOST_TEST(final_digests(resumed) == final_digests(at_once), boost::test_tools::per_element());
  for (const Json& row : step_rows(two)) {
    BOOST_TEST(row.at("tokens") == 12 * 16);
    BOOST_TEST(row.at("sigma").is_null());
    BOOST_TEST(row.at("masked") == (row.at("block") == 0 ? Json::array({0.5, 1.0}) : Json::array({0.0, 0.5})));
    BOOST_TEST(row.at("bytes_sent").at("inter_block") == 0);
  }
}

BOOST_AUTO_TEST_CASE(tables_give_the_bound_in_bits_where_text_is_known) {
  TokenEvalResult r;
  r.context = 8;
  r.run.folder = "runs/a";
  r.run.steps = {70, 60};
  r.run.bound.windows = 16;
  r.run.bound.draws_per_window = 4;
  r.run.bound.nats_per_token = 2 * std::numbers::ln2;
  r.run.bound.standard_error = 0.01;
  r.run.bound.intervals = {{0, 4, 8, 3.25}, {1, 0, 4, 1.5}};
  r.run.bound.levels = {{8, 0, 3.5}, {4, 1, 1.25}};
  BOOST_TEST(to_table(r).find("bits") == std::string::npos);
  r.text = TextSize{100, 300, 200};
  const std::string table = to_table(r);
  BOOST_TEST(table.find("network: 1.3863 +- 0.0100 nats per token, perplexity 4; 1.0000 +- 0.0072 bits per character, "
                        "0.6667 per byte") != std::string::npos,
             table);
  BOOST_TEST(table.find("8 .. 5      0    3.2500") != std::string::npos, table);
  BOOST_TEST(ledger_row(r).step == 60);
}

}  // namespace blocktrain::trainer
