// Training steps of blocktrain, timed: a table by itself, or a server for bench/compare_step.py. Steps are taken the
// way a run takes them: on a GPU the next one is asked for before the last is finished, and each brings its batch
// along.
//
//   bench_step --rows 9 --steps 20                     rows of steps of one block, or of the network (--end-to-end)
//   bench_step --blocks-in-turn 4 --steps-per-visit 8  blocks of one rank take turns, idle ones in host memory
//   bench_step --plan                                  only what would be taken, as JSON; needs no GPU
//
// As a server (none of these) it prints a line of JSON with what was planned, and for every line "N" on standard input
// takes N steps and answers with the seconds of each, which add up to those of the row.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "bench/timed_rank.hpp"
#include "blocks/architectures/architectures.hpp"
#include "trainer/config/values.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::bench {
namespace {

using namespace trainer;
using nlohmann::ordered_json;

struct Options {
  TimedSettings timed;
  int rows = 0, steps = 20, steps_per_visit = 20;
  bool plan = false, json = false;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

void print_line(const ordered_json& j) {
  std::printf("%s\n", j.dump().c_str());
  std::fflush(stdout);
}

ordered_json planned(const Options& o, const Plan& plan) {
  const RankPlan& rank = plan.ranks[timed_rank_index(o.timed)];
  const BlockPlan& block = plan.blocks[timed_rank_index(o.timed)];
  return {{"batch", plan.batch},
          {"micro_batch", plan.micro_batch},
          {"blocks", plan.blocks.size()},
          {"flops", block.flops.training * static_cast<double>(plan.batch)},
          {"parameters", block.parameters},
          {"planned", rank.bytes.total()},
          {"planned_device", rank.bytes.on_device(plan.on_gpu)}};
}

void serve(TimedRank& rank, const ordered_json& facts) {
  OwnedBlock& block = rank.blocks().front();
  ordered_json ready = facts;
  ready["idle"] = rank.idle_bytes();
  ready["device"] = rank.device().facts().name;
  ready["computes_with"] = kernels::cuda_facts();
  print_line(ready);
  for (int steps = 0; std::cin >> steps;) {
    const std::vector<double> seconds = rank.row(block, steps);
    print_line({{"seconds", seconds}, {"peak", resident_bytes("VmHWM")}, {"device_bytes", rank.device_bytes()}});
  }
}

void print_rows(const Options& o, TimedRank& rank, const ordered_json& facts) {
  OwnedBlock& block = rank.blocks().front();
  rank.row(block, std::max(3, o.steps / 2));
  std::vector<double> rows, steps;
  for (int r = 0; r < o.rows; ++r) {
    const std::vector<double> seconds = rank.row(block, o.steps);
    rows.push_back(sum(seconds) / o.steps);
    steps.insert(steps.end(), seconds.begin(), seconds.end());
  }
  ordered_json j = facts;
  j["images_per_second"] = facts["batch"].get<double>() / median(rows);
  j["step_ms"] = 1e3 * median(steps);
  j["tflops"] = facts["flops"].get<double>() / median(rows) * 1e-12;
  j["device_bytes"] = rank.device_bytes();
  if (o.json) return print_line(j);
  std::printf("%12s %12s %12s %10s %16s %16s\n", "batch", "images/s", "ms per step", "TFLOP/s", "planned bytes",
              "on the device");
  std::printf("%12.0f %12.2f %12.4f %10.3f %16.0f %16.0f\n", j["batch"].get<double>(),
              j["images_per_second"].get<double>(), j["step_ms"].get<double>(), j["tflops"].get<double>(),
              j["planned"].get<double>(), j["device_bytes"].get<double>());
}

/// Of one block's state, home and back.
double bytes_of_turn(const OwnedBlock& block) {
  const BlockState& s = block.state;
  return 2.0 * static_cast<double>(s.parameters.bytes() + s.first_moment.bytes() + s.second_moment.bytes() +
                                   s.average.bytes());
}

/// The blocks of a rank in turn: the step's time with copies beside it, without, and the copies' by themselves. The
/// three take turns too.
void print_turns(const Options& o, TimedRank& rank, const ordered_json& facts) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); };
  std::vector<OwnedBlock>& blocks = rank.blocks();
  const std::size_t count = blocks.size();
  BlockSlots& slots = rank.slots();
  std::size_t turn = 0;
  const auto next = [&]() -> OwnedBlock& { return blocks[(turn + 1) % count]; };
  const auto visit = [&] {
    const auto begin = Clock::now();
    turn = (turn + 1) % count;
    slots.enter(blocks[turn]);
    slots.expect(next());
    rank.row(blocks[turn], o.steps_per_visit);
    return since(begin);
  };
  // Each block twice in each of its slots: algorithms are chosen, graphs are made.
  for (std::size_t i = 0; i < 4 * count; ++i) visit();
  std::vector<double> in_turn, alone, copy;
  for (int r = 0; r < o.rows; ++r) {
    visit();  // what it works on came in while nothing was computed
    for (std::size_t i = 0; i < count; ++i) in_turn.push_back(visit() / o.steps_per_visit);
    rank.device().synchronize(kernels::CopyStream::blocks);
    alone.push_back(sum(rank.row(blocks[turn], o.steps_per_visit)) / o.steps_per_visit);
    turn = (turn + 1) % count;
    slots.enter(blocks[turn]);
    rank.row(blocks[turn], 1);
    const auto begin = Clock::now();
    slots.expect(next());
    rank.device().synchronize(kernels::CopyStream::blocks);
    copy.push_back(since(begin));
  }
  // Two blocks have a slot each, and on a CPU nothing moves.
  const bool moves = !rank.device().shares_host_memory() && count > 2;
  const double visited = median(in_turn), still = median(alone), copied = moves ? median(copy) : 0;
  ordered_json j = facts;
  j["blocks_in_turn"] = count;
  j["steps_per_visit"] = o.steps_per_visit;
  j["step_ms_in_turn"] = 1e3 * visited;
  j["step_ms_alone"] = 1e3 * still;
  j["copied_bytes_per_visit"] = moves ? bytes_of_turn(blocks.front()) : 0;
  j["copy_ms"] = 1e3 * copied;
  j["hidden"] = moves ? ordered_json(1 - (visited - still) * o.steps_per_visit / copied) : ordered_json(nullptr);
  if (o.json) return print_line(j);
  std::printf("%8s %16s %18s %16s %12s %18s %8s\n", "blocks", "steps per visit", "ms/step in turn", "ms/step alone",
              "copy ms", "copied bytes", "hidden");
  std::printf("%8zu %16d %18.4f %16.4f %12.4f %18.0f %8s\n", count, o.steps_per_visit, 1e3 * visited, 1e3 * still,
              1e3 * copied, j["copied_bytes_per_visit"].get<double>(),
              moves ? (std::to_string(static_cast<int>(100 * j["hidden"].get<double>())) + "%").c_str() : "-");
}

/// The architecture that the arguments name: the keys that the others set are its own.
std::string named_architecture(int argc, char** argv) {
  std::string name = Config().model.architecture;
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  app.add_option("--architecture", name);
  app.parse(argc, argv);
  return name;
}

/// Gives a key of that architecture its value.
void set_key(Config& config, std::string_view name, const std::string& value) {
  const std::vector<blocks::Setting> all = describe(config);
  const blocks::Setting* found = blocks::find_setting(all, name);
  if (found == nullptr) throw InputError(config.model.architecture + " has no " + std::string(name));
  set_from_text(*found, value);
}

int run(int argc, char** argv) {
  Options o;
  Config& config = o.timed.config;
  std::string architecture = named_architecture(argc, argv), patch, context;
  const blocks::Architecture* chosen = blocks::find_architecture(architecture);
  if (chosen == nullptr) throw InputError("--architecture: '" + architecture + "' is none");
  config = Config(*chosen);
  ImageShape image = image_shape_of(o.timed.data);
  std::int64_t classes = o.timed.data.classes;
  bool end_to_end = false, cuda = false, bfloat16 = false, checkpoint_activations = false, no_deterministic = false,
       no_graph = false;
  CLI::App app{"Times training steps of blocktrain"};
  app.add_option("--architecture", architecture, "Architecture of the network");
  app.add_option("--layers", config.model.layers);
  app.add_option("--width", config.model.width);
  app.add_option("--heads", config.model.heads);
  app.add_option("--patch", patch);
  app.add_option("--context", context, "Tokens of a sample, for networks that read text");
  app.add_option("--blocks", config.blocks.count);
  app.add_option("--batch", config.data.batch);
  app.add_option("--micro-batch", config.data.micro_batch);
  app.add_option("--channels", image.channels);
  app.add_option("--size", image.height, "Height and width of an image");
  app.add_option("--classes", classes);
  app.add_option("--threads", o.timed.threads);
  app.add_option("--block", o.timed.block, "The block that is timed");
  app.add_flag("--end-to-end", end_to_end);
  auto* const gpu = app.add_flag("--cuda", cuda, "On the first GPU");
  app.add_flag("--bfloat16", bfloat16, "Compute in bfloat16 (on a GPU)");
  app.add_flag("--checkpoint-activations", checkpoint_activations, "Keep only the inputs of layers");
  app.add_flag("--no-deterministic", no_deterministic, "Gradients as fast as they come, as PyTorch's")->needs(gpu);
  app.add_flag("--no-graph", no_graph, "Ask for every op in every step")->needs(gpu);
  app.add_option("--rows", o.rows, "Print a table of so many rows of steps (0: serve)")->check(CLI::NonNegativeNumber);
  app.add_option("--steps", o.steps, "Steps of a row")->check(CLI::PositiveNumber);
  auto* const turns =
      app.add_option("--blocks-in-turn", o.timed.blocks_in_turn, "So many blocks of one rank take turns")
          ->check(CLI::PositiveNumber);
  app.add_option("--steps-per-visit", o.steps_per_visit)->check(CLI::PositiveNumber)->needs(turns);
  app.add_flag("--plan", o.plan, "Print what would be taken, as JSON, and take nothing");
  app.add_flag("--json", o.json, "Tables as JSON");
  CLI11_PARSE(app, argc, argv);
  image.width = image.height;
  if (!patch.empty()) set_key(config, "model.patch", patch);
  if (!context.empty()) set_key(config, "model.context", context);
  const std::vector<blocks::Setting> keys = describe(config);
  const auto* const tokens = blocks::value_of<std::int64_t>(keys, "model.context");
  o.timed.data = tokens == nullptr
                     ? image_layout(image, classes)
                     : blocks::SampleLayout{{{"tokens", kernels::DType::int32, {*tokens}}}, *tokens, classes};
  config.budget.steps = 1000000;
  config.optimizer.decay_steps = 0;
  config.blocks.training = end_to_end ? TrainingMode::end_to_end : TrainingMode::block_local;
  if (checkpoint_activations) config.parallel.activation_checkpointing = ActivationCheckpointing::layer;
  config.parallel.device = cuda ? DeviceChoice::cuda : DeviceChoice::cpu;
  config.model.precision = bfloat16 ? kernels::DType::bfloat16 : kernels::DType::float32;
  o.timed.deterministic = !no_deterministic;
  o.timed.graphs = !no_graph;
  if (turns->count() > 0 && o.rows == 0) o.rows = 9;

  if (needs_information(config)) config.noise.information = class_information(config, o.timed.data, {});

  const Plan plan = plan_of(o.timed);
  const ordered_json facts = planned(o, plan);
  if (o.plan) {
    print_line(facts);
    return 0;
  }
  TimedRank rank(o.timed, plan);
  rank.slots().enter(rank.blocks().front());
  if (turns->count() > 0) {
    print_turns(o, rank, facts);
  } else if (o.rows > 0) {
    print_rows(o, rank, facts);
  } else {
    serve(rank, facts);
  }
  return 0;
}

}  // namespace
}  // namespace blocktrain::bench

int main(int argc, char** argv) {
  try {
    return blocktrain::bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_step: %s\n", e.what());
    return 1;
  }
}
