// blocktrain plan: the plan as a table, as JSON, or the resolved config.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "kernels/gpu_scratch.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/plan/compute_device.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/text.hpp"
#include "trainer/support/units.hpp"
#include "trainer/tasks/tasks.hpp"
#include "trainer/worker/step_probe.hpp"

namespace blocktrain::trainer {
namespace {

/// Most that the ops of a rank take on its GPU beside the arenas.
std::size_t scratch(const Plan& plan, const RankPlan& rank) {
  return plan.on_gpu ? kernels::ops_scratch_bytes + rank.attention_scratch : 0;
}

using nlohmann::ordered_json;

/// A plan with and without activation checkpointing.
struct Choice {
  Plan none, layer;
};

const char* spelling(ActivationCheckpointing c) { return c == ActivationCheckpointing::layer ? "layer" : "none"; }

/// Null where there is no noise.
ordered_json pair_or_null(const blocks::NoiseRange& range) {
  return range.hi > 0 ? ordered_json{range.lo, range.hi} : ordered_json();
}

/// The same as text, in a column.
std::string interval(const blocks::NoiseRange& range) {
  return range.hi > 0 ? fmt::format("{:<8.4g} .. {:<8.4g}", range.lo, range.hi) : fmt::format("{:<20}", "-");
}

ordered_json text_or_null(std::string_view text) { return text.empty() ? ordered_json() : ordered_json(text); }

ordered_json to_json(const CudaRuntime& cuda) {
  ordered_json j;
  j["bytes"] = cuda.memory.bytes < 0 ? ordered_json() : ordered_json(cuda.memory.bytes);
  j["scope"] = text_or_null(to_string(cuda.memory.scope));
  j["device"] = text_or_null(cuda.device);
  j["reason"] = text_or_null(cuda.reason);
  return j;
}

ordered_json to_json(const DataOutline& data, const Plan& plan, const Choice& choice, const CudaRuntime& cuda,
                     bool counts_classes) {
  ordered_json j;
  j["data"] = ordered_json::parse(data.json);
  j["training"] = name_of(plan.training);
  if (counts_classes) j["class_frequencies"] = "equal";
  j["world"] = plan.world;
  j["rebalances"] = plan.rebalances;
  j["batch"] = plan.batch;
  j["micro_batch"] = plan.micro_batch;
  j["parameters"] = plan.parameters();
  j["flops_per_step"] = plan.flops_per_step();
  j["recomputed_flops_per_step"] = plan.recomputed_flops_per_step();
  j["activation_checkpointing"] = spelling(plan.checkpointing);
  for (const Plan* p : {&choice.none, &choice.layer}) {
    j["activation_checkpointing_choices"][spelling(p->checkpointing)] = {
        {"largest_rank_bytes", p->largest_rank_bytes()}, {"recomputed_flops_per_step", p->recomputed_flops_per_step()}};
  }
  j["coupling"] = name_of(plan.coupling.mode);
  j["meets_every_steps"] = plan.coupling.coupled() ? ordered_json(plan.coupling.every_steps) : ordered_json();
  j["shared_parameters"] = plan.shared_parameters;
  j["inter_block_bytes_per_step"] = plan.inter_block_bytes_per_step;
  j["cuda_runtime"] = to_json(cuda);
  const bool of_masks = plan.levels == blocks::Levels::masked;
  for (const BlockPlan& b : plan.blocks) {
    j["blocks"].push_back({{"block", b.place.index},
                           {"first_layer", b.place.first_layer},
                           {"layers", b.place.layers},
                           {"ranks", plan.placement.ranks_of_block[static_cast<std::size_t>(b.place.index)]},
                           {"sigma", pair_or_null(of_masks ? blocks::NoiseRange{} : b.owned)},
                           {"sigma_trained", pair_or_null(of_masks ? blocks::NoiseRange{} : b.trained)},
                           {"parameters", b.parameters},
                           {"flops_per_sample_forward", b.flops.forward},
                           {"flops_per_sample_training", b.flops.training},
                           {"recomputed_flops_per_step", b.recomputed_flops_per_step},
                           {"tokens_per_sample", b.tokens_per_sample}});
    if (of_masks) j["blocks"].back()["masked"] = pair_or_null(b.owned);
  }
  for (std::size_t r = 0; r < plan.ranks.size(); ++r) {
    const RankPlan& p = plan.ranks[r];
    j["ranks"].push_back({{"rank", r},
                          {"blocks", p.blocks},
                          {"replica", p.replica},
                          {"replicas", p.replicas},
                          {"samples", {p.shard.begin, p.shard.end}},
                          {"replica_bytes_per_step", p.replica_bytes_per_step},
                          {"meeting_bytes", p.meeting_bytes},
                          {"bytes",
                           {{"state", p.bytes.state},
                            {"gradient", p.bytes.gradient},
                            {"activations", p.bytes.activations},
                            {"batch", p.bytes.batch},
                            {"home", p.bytes.home},
                            {"input", p.bytes.input},
                            {"on_device", p.bytes.on_device(plan.on_gpu)},
                            {"device_scratch", scratch(plan, p)},
                            {"total", p.bytes.total()}}}});
  }
  return j;
}

/// One line: what activation checkpointing saves and costs here, or would. Nothing where it is off and saves nothing.
void print_choice(const Plan& plan, const Choice& choice) {
  const auto none = static_cast<double>(choice.none.largest_rank_bytes());
  const auto layer = static_cast<double>(choice.layer.largest_rank_bytes());
  const double again = choice.layer.recomputed_flops_per_step(), share = 100 * again / plan.flops_per_step();
  if (plan.checkpointing == ActivationCheckpointing::layer) {
    fmt::print(
        "\nActivations checkpointed per layer: {} FLOPs of a step computed again ({:.1f}% more); without, the\n"
        "largest rank takes {}\n",
        count(again), share, bytes(none));
  } else if (layer < none) {
    fmt::print("\nWith parallel.activation_checkpointing=layer the largest rank takes {}, for {:.1f}% more FLOPs\n",
               bytes(layer), share);
  }
}

/// What a rank sends to others in a step, on average.
std::string sent_per_step(const Plan& plan, const RankPlan& rank) {
  std::string text = rank.replicas > 1 ? bytes(rank.replica_bytes_per_step) + " to replicas" : std::string();
  if (rank.meeting_bytes > 0) {
    if (!text.empty()) text += ", ";
    text += bytes(rank.meeting_bytes / static_cast<double>(plan.coupling.every_steps)) + " of the shared table";
  }
  return text.empty() ? "0 B" : text;
}

/// What blocks share, and what follows from it.
void print_coupling(const Config& config, const Plan& plan) {
  if (!plan.coupling.coupled()) return;
  const std::string what =
      fmt::format("All blocks share a table of {} numbers", count(static_cast<double>(plan.shared_parameters)));
  if (plan.coupling.synchronized()) {
    fmt::print("\n{} (synchronized): every step waits for all ranks.\n", what);
  } else {
    fmt::print("\n{} (periodic): every {} steps all ranks wait for each other; per rank and meeting {} are sent.\n",
               what, plan.coupling.every_steps, bytes(plan.ranks.front().meeting_bytes));
  }
  if (config.parallel.rebalance && plan.world > 1 && plan.world < static_cast<int>(plan.blocks.size())) {
    fmt::print("Such blocks stay on their ranks, whatever parallel.rebalance says: no rank ends before the others.\n");
  }
}

/// What of a GPU's memory is in no other figure.
void print_cuda_runtime(const CudaRuntime& cuda) {
  const auto most = bytes(static_cast<double>(cuda.memory.bytes));
  if (cuda.memory.bytes < 0) {
    fmt::print("CUDA itself, its libraries and graphs take more in each process; how much is not known here:\n{}\n",
               cuda.reason);
  } else if (cuda.memory.scope == DeviceMemoryScope::process) {
    fmt::print("CUDA itself, its libraries and graphs take {} more in each process, measured by a small step on\n{}\n",
               most, cuda.device);
  } else {
    fmt::print(
        "CUDA itself, its libraries and graphs take at most {} more in each process, measured by a small step on\n{}: "
        "all that is in use there, other programs included, for {}\n",
        most, cuda.device, cuda.reason);
  }
}

void print_table(const Config& config, const DataOutline& data, const Plan& plan, const Choice& choice,
                 const Plan& twin, const Plan& twin_alone, const CudaRuntime& cuda) {
  const bool local = plan.training == TrainingMode::block_local;
  fmt::print("{} {}\n", local ? "block-local" : "end to end", data.text);
  const auto patch = value_of<int>(config, "model.patch");
  fmt::print("{}: {} layers of width {}, {} heads{}; {} parameters; batch {} in passes of {}; {} steps per block\n\n",
             config.model.architecture, config.model.layers, config.model.width, config.model.heads,
             patch ? fmt::format(", patch {}", *patch) : "", count(static_cast<double>(plan.parameters())), plan.batch,
             plan.micro_batch, config.budget.steps);

  const bool of_masks = plan.levels == blocks::Levels::masked;
  fmt::print("block  layers   ranks        {:<20} {:<20} parameters  FLOPs/step\n",
             of_masks ? "masked owned" : "sigma owned", of_masks ? "masked trained" : "sigma trained");
  for (const BlockPlan& b : plan.blocks) {
    fmt::print("{:>5}  {:<7}  {:<11}  {} {} {:>10}  {:>10}\n", b.place.index,
               fmt::format("{}..{}", b.place.first_layer, b.place.first_layer + b.place.layers - 1),
               join(plan.placement.ranks_of_block[static_cast<std::size_t>(b.place.index)]), interval(b.owned),
               interval(b.trained), count(static_cast<double>(b.parameters)),
               count(b.flops.training * static_cast<double>(plan.batch)));
  }
  fmt::print("\n rank  blocks       samples    state     gradient  activations  batches   total      sent per step\n");
  for (std::size_t r = 0; r < plan.ranks.size(); ++r) {
    const RankPlan& p = plan.ranks[r];
    fmt::print("{:>5}  {:<11}  {:<9}  {:<8}  {:<8}  {:<11}  {:<8}  {:<9}  {}\n", r, join(p.blocks),
               fmt::format("{}..{}", p.shard.begin, p.shard.end - 1), bytes(static_cast<double>(p.bytes.state)),
               bytes(static_cast<double>(p.bytes.gradient)), bytes(static_cast<double>(p.bytes.activations)),
               bytes(static_cast<double>(p.bytes.batch)), bytes(static_cast<double>(p.bytes.total())),
               sent_per_step(plan, p));
  }
  print_coupling(config, plan);
  if (plan.rebalances) {
    fmt::print("A rank without a block left takes one over from a rank with several (parallel.rebalance).\n");
  }
  if (plan.on_gpu) {
    fmt::print("\nOf these on the GPU, the rest in host memory; states of idle blocks are pinned there:\n");
    for (std::size_t r = 0; r < plan.ranks.size(); ++r) {
      const ArenaBytes& b = plan.ranks[r].bytes;
      fmt::print(
          "{:>5}  {} on the GPU and up to {} of scratch beside them, {} of states and {} of batches on the host\n", r,
          bytes(static_cast<double>(b.on_device(true))), bytes(static_cast<double>(scratch(plan, plan.ranks[r]))),
          bytes(static_cast<double>(b.home)), bytes(static_cast<double>(b.batch)));
    }
    print_cuda_runtime(cuda);
  }
  print_choice(plan, choice);
  if (local) {
    const auto mine = static_cast<double>(plan.largest_rank_bytes()),
               theirs = static_cast<double>(twin.largest_rank_bytes());
    fmt::print("\nBeside end to end on {} {} (embeddings, heads and optimizer included):\n", twin.world,
               twin.world == 1 ? "rank" : "ranks");
    const auto alone = static_cast<double>(twin_alone.largest_rank_bytes());
    fmt::print("  memory of the largest rank    {:>10} of {:>10}   {:.2f}x\n", bytes(mine), bytes(theirs),
               mine / theirs);
    fmt::print("    the same batch on one rank  {:>10} of {:>10}   {:.2f}x\n", bytes(mine), bytes(alone), mine / alone);
    fmt::print("  FLOPs of a step of all blocks {:>10} of {:>10}   {:.2f}x\n", count(plan.flops_per_step()),
               count(twin.flops_per_step()), plan.flops_per_step() / twin.flops_per_step());
    const RankPlan& first = plan.ranks.front();
    const double sent =
        first.replica_bytes_per_step + first.meeting_bytes / static_cast<double>(plan.coupling.every_steps);
    fmt::print("  sent per rank and step        {:>10} of {:>10}\n", bytes(sent),
               bytes(twin.ranks.front().replica_bytes_per_step));
    fmt::print("  traffic between blocks        {:>10}{}\n", bytes(plan.inter_block_bytes_per_step),
               plan.coupling.coupled() ? " per step, all ranks together" : "");
  }
}

}  // namespace

int plan_command(const PlanArguments& arguments) {
  Config config = load_config(arguments.config, arguments.overrides);
  if (arguments.show_config) {
    fmt::print("{}", to_yaml(config, YamlComments::every_key));
    return 0;
  }
  if (arguments.world < 0)
    throw InputError("--world: found " + std::to_string(arguments.world) + "; accepted: 1 or more ranks");
  config.parallel.device = device_here(config);
  const DataOutline data = task_of(config).outline(config);
  const blocks::SampleLayout& layout = data.layout;
  for (const std::string& note : data.notes) complain("warning: " + note);
  if (needs_information(config)) {
    config.noise.information = class_information(config, layout, {});
    if (!arguments.json) {
      complain(
          "note: the noise intervals are those of classes that are equally frequent; train goes by the training data");
    }
  }
  const Plan plan = make_plan(config, layout, arguments.world);
  const auto with = [&](ActivationCheckpointing checkpointing) {
    return checkpointing == plan.checkpointing ? plan : plan_with(checkpointing, config, layout, plan.world);
  };
  const Choice choice{with(ActivationCheckpointing::none), with(ActivationCheckpointing::layer)};
  CudaRuntime cuda;
  if (plan.on_gpu) {
    cuda = measure_cuda_runtime(config, layout);
  } else {
    cuda.reason = "this plan is for CPUs";
  }
  if (arguments.json) {
    // Reasons may quote a driver.
    fmt::print("{}\n", to_json(data, plan, choice, cuda, needs_information(config))
                           .dump(2, ' ', false, ordered_json::error_handler_t::replace));
    return 0;
  }
  // The twin on as many ranks as its batch can be shared by.
  const int twin_world = static_cast<int>(std::min<std::int64_t>(plan.world, plan.batch));
  print_table(config, data, plan, choice, end_to_end_twin(config, layout, twin_world),
              end_to_end_twin(config, layout, 1), cuda);
  return 0;
}

}  // namespace blocktrain::trainer
