#include "trainer/plan/plan.hpp"

#include <algorithm>

#include "blocks/parameters.hpp"
#include "kernels/error.hpp"
#include "kernels/gpu_scratch.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/plan/heldout_memory.hpp"

namespace blocktrain::trainer {
namespace {

/// Samples per pass when data.micro_batch is 0: as many as keep the widest activation of a layer (the MLP's hidden one)
/// near the caches of a core. More makes no product faster, but takes memory. Shapes alone decide, never the machine
/// or the number of ranks, for the size of a pass is part of the bits of a result. A GPU takes the whole batch: it is
/// the faster the more it has to do.
std::int64_t automatic_micro_batch(const Config& config, std::int64_t tokens_per_sample) {
  if (on_gpu(config)) return config.data.batch;
  constexpr std::int64_t cache_bytes = 12 << 20;
  const std::int64_t bytes_per_sample = tokens_per_sample * widest_activation(config) * 4;
  const std::int64_t most =
      std::clamp<std::int64_t>(cache_bytes / std::max<std::int64_t>(bytes_per_sample, 1), 1, config.data.batch);
  // Passes of equal size: a small last one would waste what the others gain.
  const std::int64_t passes = (config.data.batch + most - 1) / most;
  return (config.data.batch + passes - 1) / passes;
}

ArenaBytes rank_bytes(const Config& config, const blocks::SampleLayout& data, const Plan& plan, const RankPlan& rank) {
  RankArenas arenas = RankArenas::measuring();
  std::vector<blocks::BlockPlace> places;
  for (const int b : rank.blocks) places.push_back(plan.blocks[static_cast<std::size_t>(b)].place);
  const auto samples = static_cast<std::int64_t>(rank.shard.size());
  const std::int64_t micro_batch = std::min(plan.micro_batch, samples);
  const std::vector<OwnedBlock> owned = bind_blocks(arenas, config, data, places, micro_batch, samples, rank.replicas);
  BatchLoaderOptions loader;
  loader.batch = config.data.batch;
  loader.begin = 0;
  loader.end = samples;
  if (config.eval.every_steps > 0) {
    HeldoutMemory::bind(arenas, on_gpu(config), data, *owned.front().network, micro_batch);
  }
  bind_loader_batches(arenas.batch, data, loader);
  bind_transport_buffer(arenas, plan.on_gpu, plan.rebalances, plan.world);
  return arenas.peak();
}

/// What a rank computes again in one step, pass by pass.
double recomputed_flops(const blocks::Block& network, std::int64_t samples, std::int64_t micro_batch) {
  double sum = 0;
  for (std::int64_t begin = 0; begin < samples; begin += micro_batch) {
    sum += network.recomputed_flops(std::min(micro_batch, samples - begin));
  }
  return sum;
}

}  // namespace

std::int64_t Plan::parameters() const {
  std::int64_t n = 0;
  for (const BlockPlan& b : blocks) n += b.parameters;
  return n - static_cast<std::int64_t>(blocks.size() - 1) * shared_parameters;
}

double Plan::flops_per_step() const {
  double f = 0;
  for (const BlockPlan& b : blocks) f += b.flops.training * static_cast<double>(batch);
  return f;
}

double Plan::recomputed_flops_per_step() const {
  double f = 0;
  for (const BlockPlan& b : blocks) f += b.recomputed_flops_per_step;
  return f;
}

std::size_t Plan::largest_rank_bytes() const {
  std::size_t most = 0;
  for (const RankPlan& r : ranks) most = std::max(most, on_gpu ? r.bytes.on_device(true) : r.bytes.total());
  return most;
}

Plan make_plan(const Config& config, const blocks::SampleLayout& data, int world) {
  Plan plan;
  plan.training = config.blocks.training;
  plan.on_gpu = on_gpu(config);
  plan.checkpointing = config.parallel.activation_checkpointing;
  plan.batch = config.data.batch;
  plan.levels = trained_objective(config).levels;
  const blocks::NoiseSchedule schedule = noise_schedule(config);
  std::vector<std::unique_ptr<blocks::Block>> networks;
  blocks::ParameterNames names;
  for (const blocks::BlockPlace& place : block_places(config)) {
    BlockPlan b;
    b.place = place;
    if (plan.levels != blocks::Levels::none) {
      b.owned = schedule.owned(place.index);
      b.trained = schedule.trained(place.index);
    }
    networks.push_back(make_block(config, data, place));
    const auto& network = networks.back();
    std::int64_t shared = 0;
    for (const blocks::Parameter& p : network->parameters()) {
      if (!p.shared || place.index == 0) names.add(p.name);
      b.parameters += p.size;
      if (p.shared) shared += p.size;
    }
    BLOCKTRAIN_EXPECTS(plan.blocks.empty() || shared == plan.shared_parameters);
    plan.shared_parameters = shared;
    b.flops = network->flops();
    b.tokens_per_sample = network->targets_per_sample();
    plan.blocks.push_back(b);
  }
  plan.world = world == 0 ? static_cast<int>(plan.blocks.size()) : world;
  plan.micro_batch = config.data.micro_batch > 0 ? config.data.micro_batch
                                                 : automatic_micro_batch(config, networks.front()->rows_per_sample());
  plan.placement = comm::place_blocks(static_cast<int>(plan.blocks.size()), plan.world);
  plan.coupling = coupling_of(config);
  // Blocks that take every step together have no rank that ends before the others.
  plan.rebalances = config.parallel.rebalance && plan.world > 1 && plan.world < static_cast<int>(plan.blocks.size()) &&
                    !plan.coupling.coupled();

  for (int r = 0; r < plan.world; ++r) {
    RankPlan rank;
    rank.blocks = plan.placement.blocks_of_rank[static_cast<std::size_t>(r)];
    const int first = rank.blocks.front();
    rank.replicas = static_cast<int>(plan.placement.ranks_of_block[static_cast<std::size_t>(first)].size());
    rank.replica = plan.placement.replica_index(r, first);
    rank.shard = comm::shard(static_cast<std::uint64_t>(plan.batch), rank.replicas, rank.replica);
    if (rank.shard.size() == 0) {
      throw InputError("data.batch: a batch of " + std::to_string(plan.batch) + " cannot be shared by the " +
                       std::to_string(rank.replicas) + " replicas that " + std::to_string(plan.world) +
                       " ranks make of a block; use fewer ranks or a larger batch");
    }
    rank.bytes = rank_bytes(config, data, plan, rank);
    if (on_gpu(config) && computed_in(config) == kernels::DType::bfloat16) {
      const std::int64_t tokens = networks.front()->rows_per_sample(), heads = config.model.heads;
      const std::int64_t samples = std::min(plan.micro_batch, static_cast<std::int64_t>(rank.shard.size()));
      rank.attention_scratch = static_cast<std::size_t>(
          kernels::attention_scratch(kernels::attention_samples_at_once(samples, heads, tokens), heads, tokens));
    }
    for (const int b : rank.blocks) {
      const auto i = static_cast<std::size_t>(b);
      plan.blocks[i].recomputed_flops_per_step +=
          recomputed_flops(*networks[i], static_cast<std::int64_t>(rank.shard.size()), plan.micro_batch);
    }
    if (rank.replicas > 1) {
      const auto floats =
          static_cast<double>(networks[static_cast<std::size_t>(first)]->parameter_elements() + gradient_tail);
      rank.replica_bytes_per_step = 2.0 * (rank.replicas - 1) / rank.replicas * floats * 4;
    }
    if (plan.coupling.coupled()) {
      rank.meeting_bytes = static_cast<double>(meeting_bytes_sent(plan.placement, plan.shared_parameters, r));
      plan.inter_block_bytes_per_step += rank.meeting_bytes / static_cast<double>(plan.coupling.every_steps);
    }
    plan.ranks.push_back(std::move(rank));
  }
  return plan;
}

bool rank_can_take(const Plan& plan, const Config& config, const blocks::SampleLayout& data, int rank, int block) {
  RankPlan alone = plan.ranks[static_cast<std::size_t>(rank)];
  const ArenaBytes room = alone.bytes;
  alone.blocks = {block};
  const ArenaBytes needed = rank_bytes(config, data, plan, alone);
  return needed.state <= room.state && needed.gradient <= room.gradient && needed.activations <= room.activations &&
         needed.home <= room.home;
}

Plan plan_with(ActivationCheckpointing checkpointing, const Config& config, const blocks::SampleLayout& data,
               int world) {
  Config other = config;
  other.parallel.activation_checkpointing = checkpointing;
  return make_plan(other, data, world);
}

Plan end_to_end_twin(const Config& config, const blocks::SampleLayout& data, int world) {
  Config twin = config;
  twin.blocks.training = TrainingMode::end_to_end;
  twin.blocks.layers.clear();
  return make_plan(twin, data, world);
}

}  // namespace blocktrain::trainer
