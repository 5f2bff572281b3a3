#pragma once
/// The plan of a run: a pure function of the config, the shape of the data and the number of ranks. It says who
/// trains what, on which noise, with how many parameters, operations and bytes, before anything starts.

#include <cstdint>
#include <vector>

#include "blocks/block.hpp"
#include "blocks/noise/schedule.hpp"
#include "blocks/objectives/objectives.hpp"
#include "comm/placement.hpp"
#include "trainer/config/config.hpp"
#include "trainer/plan/coupling.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/plan/rank_memory.hpp"

namespace blocktrain::trainer {

struct BlockPlan {
  blocks::BlockPlace place;
  blocks::NoiseRange owned, trained;  ///< levels at inference, and in training; zeros where there is no noise
  std::int64_t parameters = 0;        ///< without padding; its copy of what blocks share among them
  blocks::Flops flops;                ///< per sample
  std::int64_t tokens_per_sample = 0;
  double recomputed_flops_per_step = 0;  ///< of all its replicas, by activation checkpointing; not in flops
};

struct RankPlan {
  std::vector<int> blocks;        ///< in the order they take turns
  int replica = 0, replicas = 1;  ///< of its block, when it owns one
  comm::Shard shard;              ///< its samples of the global batch
  ArenaBytes bytes;
  std::size_t attention_scratch = 0;  ///< the most that cuDNN's attention takes on a GPU besides, in bfloat16
  double replica_bytes_per_step = 0;  ///< sent to other replicas of the block
  double meeting_bytes = 0;           ///< sent in each meeting about what blocks share (Plan::coupling)
};

struct Plan {
  TrainingMode training = TrainingMode::block_local;
  blocks::Levels levels = blocks::Levels::none;  ///< what the blocks' noise levels are
  bool on_gpu = false;                           ///< what the bytes are planned for
  ActivationCheckpointing checkpointing = ActivationCheckpointing::none;
  int world = 1;
  bool rebalances = false;  ///< blocks may move between ranks while the run goes on
  std::int64_t batch = 1, micro_batch = 1;
  comm::Placement placement;
  std::vector<BlockPlan> blocks;
  std::vector<RankPlan> ranks;
  Coupling coupling;
  double inter_block_bytes_per_step = 0;  ///< sent by all ranks together about what blocks share, meetings shared out

  std::int64_t shared_parameters = 0;  ///< of each block: what all of them have in common (blocks::Parameter::shared)

  /// Of the whole network: what blocks share counts once.
  std::int64_t parameters() const;
  /// Matrix-product and attention FLOPs of one step of every block.
  double flops_per_step() const;
  /// Those that activation checkpointing computes again on top, in one step of every block.
  double recomputed_flops_per_step() const;
  /// Bytes of the rank that needs the most: on its GPU where that is what computes, else all.
  std::size_t largest_rank_bytes() const;
};

/// Plans `world` ranks (0: one per trained block). Throws InputError when config, data and world do not fit together.
Plan make_plan(const Config& config, const blocks::SampleLayout& data, int world);

/// Whether a rank's arenas hold `block` of the network as its only one, which it then could take over.
bool rank_can_take(const Plan& plan, const Config& config, const blocks::SampleLayout& data, int rank, int block);

/// The same run with `checkpointing`: what the choice saves and costs.
Plan plan_with(ActivationCheckpointing checkpointing, const Config& config, const blocks::SampleLayout& data,
               int world);

/// The same network, data and optimizer trained end to end on as many ranks: what block-local is compared with.
Plan end_to_end_twin(const Config& config, const blocks::SampleLayout& data, int world);

}  // namespace blocktrain::trainer
