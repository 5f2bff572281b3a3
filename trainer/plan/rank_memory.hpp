#pragma once
/// The memory of one rank: taken once, before the first step. The same binding runs on measuring arenas when a run is
/// planned and on real ones when it trains, so what `plan` prints is what a run takes.
///
/// On a CPU everything lies in host memory, and a block's state is where it is computed with. A GPU has room for the
/// state of one block and for that of the next on its way in; the states of all blocks of the rank have their home in
/// pinned host memory (trainer/worker/block_slots.hpp moves them).

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "blocks/block.hpp"
#include "kernels/arena.hpp"
#include "kernels/device.hpp"
#include "trainer/checkpoint/block_file.hpp"
#include "trainer/config/config.hpp"
#include "trainer/plan/block_state.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {

/// Bytes by purpose.
struct ArenaBytes {
  std::size_t state = 0;     ///< weights, moments and average of every block the rank owns; on a GPU of its slots
  std::size_t gradient = 0;  ///< one gradient, shared by the blocks that take turns; synchronized ones have their own
  std::size_t activations = 0;  ///< of one micro-batch of the block that trains
  std::size_t batch = 0;        ///< prefetched batches and steps' numbers, in host memory
  std::size_t home = 0;         ///< pinned host memory: states of all blocks of a rank that computes on a GPU
  std::size_t input = 0;        ///< a batch on the GPU, and the next one
  std::size_t total() const { return state + gradient + activations + batch + home + input; }
  /// Of these, what lies on a GPU.
  std::size_t on_device(bool gpu) const { return gpu ? state + gradient + activations + input : 0; }
  std::size_t on_host(bool gpu) const { return total() - on_device(gpu); }
};

struct RankArenas {
  kernels::Arena state, gradient, activations, batch, home, input;

  static RankArenas measuring();
  /// Throws RunError when the system or the device refuses.
  static RankArenas take(kernels::Device& device, const ArenaBytes& bytes);
  /// The most that was bound at one time.
  ArenaBytes peak() const;
};

/// Blocks of a rank that lie on a GPU at a time: the one that trains, and the next.
inline constexpr std::size_t most_slots = 2;

/// Steps that can be under way on a device at a time: one runs, the next waits behind it.
inline constexpr std::size_t most_steps_under_way = 2;

/// Where the host and the device hand each other the numbers of the steps under way, in staging memory.
struct StepRoom {
  std::array<kernels::StepState, most_steps_under_way> asked, done;
  /// Of the request to stop that travels with the gradient: this replica's, and the sum of all.
  std::array<float, most_steps_under_way> stop_request, stop_requests;
};

/// A part of a block's flat tensors that is updated by a norm of its own, and where weight decay does not act in it.
struct UpdatePiece {
  kernels::ElementRange range;
  bool shared = false;  ///< by all blocks (blocks::Block::shared)
  std::vector<kernels::ElementRange> undecayed;
};

/// The flat tensors of a block, cut at what it shares.
std::vector<UpdatePiece> update_pieces(const blocks::Block& block);

/// A block on the rank that trains it, bound to its memory.
struct OwnedBlock {
  int block = 0;
  std::unique_ptr<blocks::Block> network;
  BlockState state;  ///< in host memory: what checkpoints hold. On a CPU also what is computed with
  BlockState live;   ///< what is computed with, as long as the block is in a slot; its step is not used
  /// parameter_elements() + gradient_tail floats, shared with the rank's other blocks but where they are synchronized.
  kernels::Tensor gradient;
  kernels::Tensor staging;  ///< pinned host memory through which replicas on GPUs sum without NCCL; else empty
  /// Of a synchronized block: its pieces, and what became of its gradient, which outlives its turn on the device.
  std::vector<UpdatePiece> pieces;
  kernels::StepState computed;
  blocks::Batch input;            ///< the batch on the GPU, shared likewise; empty on a CPU
  blocks::Batch arriving;         ///< the next one, on its way there
  StepRoom* step_room = nullptr;  ///< shared likewise; null on measuring arenas
  /// The noise schedule where ops read it, shared likewise: of every block of the network what it trains on.
  kernels::SigmaInterval* schedule = nullptr;

  /// Where blocks are coupled: host memory of their meetings (trainer/exchange/shared_exchange.hpp), and where they are
  /// synchronized the state of a step for what they share, where ops read it. Shared likewise.
  kernels::Tensor meeting;
  kernels::StepState* shared_state = nullptr;

  /// What this block trains on.
  const kernels::SigmaInterval* interval() const { return schedule + block; }

  std::array<BlockState, most_slots> slots;  ///< what `live` is in each slot
  std::size_t slot = 0;                      ///< the one it is in
  /// Steps as graphs of the device, by slot: the parts before and after the sum over replicas.
  std::array<std::unique_ptr<kernels::Graph>, most_slots> gradient_graph, update_graph;
};

/// What a checkpoint of the block holds.
BlockTensors<const float> checkpoint_tensors(const OwnedBlock& block);

/// Builds the networks of `places` and binds them in `arenas`, each for micro-batches of `micro_batch` samples and
/// batches of `samples`; the block of a rank of several has `replicas`. The prefetch buffers
/// (trainer/data/batch_loader.hpp) are bound by the caller, who also writes the schedule.
std::vector<OwnedBlock> bind_blocks(RankArenas& arenas, const Config& config, const blocks::SampleLayout& data,
                                    const std::vector<blocks::BlockPlace>& places, std::int64_t micro_batch,
                                    std::int64_t samples, int replicas);

/// The network of `place`, bound in the arenas of a rank without replicas instead of `owned`, whose states are lost; in
/// what they shared besides it follows them. Of its own state nothing is written yet. Precondition: rank_can_take().
void bind_instead(RankArenas& arenas, const Config& config, const blocks::SampleLayout& data,
                  const blocks::BlockPlace& place, std::int64_t micro_batch, std::vector<OwnedBlock>& owned);

/// Takes the host memory through which the noise schedule passes between `world` ranks at the start, and blocks where
/// the plan `rebalances` (trainer/exchange/block_transport.hpp). Empty where nothing passes through host memory.
kernels::Tensor bind_transport_buffer(RankArenas& arenas, bool on_gpu, bool rebalances, int world);

/// Writes the schedule that the rank of `block` reads: training_intervals().
void write_schedule(kernels::Device& device, const OwnedBlock& block,
                    std::span<const kernels::SigmaInterval> intervals);

}  // namespace blocktrain::trainer
