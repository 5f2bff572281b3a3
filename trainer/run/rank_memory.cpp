#include "trainer/run/rank_memory.hpp"

#include <algorithm>

#include "trainer/run/block_step.hpp"

namespace blocktrain::trainer {

using kernels::Arena;

RankArenas RankArenas::measuring() {
  return {Arena::measuring("block state"), Arena::measuring("gradient"), Arena::measuring("activations"),
          Arena::measuring("batches")};
}

RankArenas RankArenas::host(const ArenaBytes& bytes) {
  return {Arena::host("block state", bytes.state), Arena::host("gradient", bytes.gradient),
          Arena::host("activations", bytes.activations), Arena::host("batches", bytes.batch)};
}

ArenaBytes RankArenas::peak() const { return {state.peak(), gradient.peak(), activations.peak(), batch.peak()}; }

std::vector<OwnedBlock> bind_blocks(RankArenas& arenas, const Config& config, const DataShape& data,
                                    const std::vector<blocks::BlockPlace>& places, std::int64_t micro_batch) {
  std::vector<OwnedBlock> owned;
  for (const blocks::BlockPlace& place : places) {
    OwnedBlock o;
    o.block = place.index;
    o.network = make_network(config, data, place);
    const std::int64_t elements = o.network->parameter_elements();
    o.state = BlockState::bind(arenas.state, elements, config.optimizer.average_decay > 0);
    // Blocks of one rank take turns: gradient and activations are those of the one that trains.
    arenas.gradient.rewind();
    o.gradient = arenas.gradient.allocate(kernels::DType::float32, {elements + gradient_tail});
    arenas.activations.rewind();
    o.network->bind_training(arenas.activations, kernels::DType::float32, micro_batch);
    if (config.eval.every_steps > 0) {
      // Held-out losses are measured between steps, when nothing of a step is needed any more.
      arenas.activations.rewind();
      o.network->bind_inference(arenas.activations, kernels::DType::float32, micro_batch);
    }
    if (!arenas.state.measures_only()) {
      o.network->bind_parameters(o.state.parameters);
      o.network->bind_gradient(o.gradient.rows(0, elements));
    }
    owned.push_back(std::move(o));
  }
  return owned;
}

}  // namespace blocktrain::trainer
