#include "trainer/plan/heldout_memory.hpp"

namespace blocktrain::trainer {

HeldoutMemory HeldoutMemory::bind(RankArenas& arenas, bool gpu, const blocks::SampleLayout& data,
                                  const blocks::Block& block, std::int64_t micro_batch) {
  kernels::Arena& where = gpu ? arenas.input : arenas.batch;
  HeldoutMemory memory;
  memory.batch = blocks::bind_batch(arenas.batch, data, micro_batch);
  memory.input = gpu ? blocks::bind_batch(where, data, micro_batch) : memory.batch;
  memory.sigma = block.allocate_levels(where, kernels::DType::float32, micro_batch);
  memory.state = where.room_for<kernels::StepState>();
  memory.losses = arenas.batch.allocate(kernels::DType::float32, {2, micro_batch});
  memory.indices.resize(static_cast<std::size_t>(micro_batch));
  return memory;
}

}  // namespace blocktrain::trainer
