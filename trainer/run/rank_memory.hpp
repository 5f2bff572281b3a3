#pragma once
/// The memory of one rank: taken once, before the first step. The same binding runs on measuring arenas when a run is
/// planned and on real ones when it trains, so what `plan` prints is what a run takes.

#include <cstddef>
#include <memory>
#include <vector>

#include "blocks/denoiser.hpp"
#include "kernels/arena.hpp"
#include "trainer/config/config.hpp"
#include "trainer/run/block_state.hpp"
#include "trainer/run/network.hpp"

namespace blocktrain::trainer {

/// Bytes by purpose.
struct ArenaBytes {
  std::size_t state = 0;        ///< weights, moments and average of every block the rank owns
  std::size_t gradient = 0;     ///< one gradient, shared by the blocks that take turns
  std::size_t activations = 0;  ///< of one micro-batch of the block that trains
  std::size_t batch = 0;        ///< prefetched batches
  std::size_t total() const { return state + gradient + activations + batch; }
};

struct RankArenas {
  kernels::Arena state, gradient, activations, batch;

  static RankArenas measuring();
  /// Throws RunError when the system refuses.
  static RankArenas host(const ArenaBytes& bytes);
  /// The most that was bound at one time.
  ArenaBytes peak() const;
};

/// A block on the rank that trains it, bound to its memory.
struct OwnedBlock {
  int block = 0;
  std::unique_ptr<blocks::Denoiser> network;
  BlockState state;
  kernels::Tensor gradient;  ///< parameter_elements() + gradient_tail floats, shared with the rank's other blocks
};

/// Builds the networks of `places` and binds them in `arenas`, each for micro-batches of `micro_batch` samples;
/// and the prefetch buffers for `shard` samples of `data` (trainer/data/batch_loader.hpp) are bound by the caller.
std::vector<OwnedBlock> bind_blocks(RankArenas& arenas, const Config& config, const DataShape& data,
                                    const std::vector<blocks::BlockPlace>& places, std::int64_t micro_batch);

}  // namespace blocktrain::trainer
