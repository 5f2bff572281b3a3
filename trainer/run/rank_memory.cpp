#include "trainer/run/rank_memory.hpp"

#include <algorithm>
#include <new>

#include "comm/staged/staged_communicator.hpp"

namespace blocktrain::trainer {

using kernels::Arena;
using kernels::DType;

RankArenas RankArenas::measuring() {
  return {Arena::measuring("block state"), Arena::measuring("gradient"), Arena::measuring("activations"),
          Arena::measuring("batches"),     Arena::measuring("home"),     Arena::measuring("input")};
}

RankArenas RankArenas::take(kernels::Device& device, const ArenaBytes& bytes) {
  return {device.arena("block state", bytes.state),
          device.arena("gradient", bytes.gradient),
          device.arena("activations", bytes.activations),
          device.staging("batches", bytes.batch),
          device.staging("home", bytes.home),
          device.arena("input", bytes.input)};
}

ArenaBytes RankArenas::peak() const {
  return {state.peak(), gradient.peak(), activations.peak(), batch.peak(), home.peak(), input.peak()};
}

namespace {

/// Room for a block's state in each of the slots, as large as the largest block needs.
std::vector<kernels::Tensor> bind_slots(Arena& arena, std::int64_t most_elements, std::size_t count, bool with_average,
                                        DType type) {
  Arena size = Arena::measuring("slot");
  BlockState::bind(size, most_elements, with_average, type);
  std::vector<kernels::Tensor> rooms;
  for (std::size_t s = 0; s < count; ++s) {
    rooms.push_back(arena.allocate_bytes(size.peak()));
  }
  return rooms;
}

StepRoom* bind_step_room(Arena& arena) {
  StepRoom* const room = arena.room_for<StepRoom>();
  return room == nullptr ? nullptr : new (room) StepRoom;
}

}  // namespace

std::vector<OwnedBlock> bind_blocks(RankArenas& arenas, const Config& config, const DataShape& data,
                                    const std::vector<blocks::BlockPlace>& places, std::int64_t micro_batch,
                                    std::int64_t samples, int replicas) {
  const bool gpu = on_gpu(config), with_average = config.optimizer.average_decay > 0;
  const DType type = computed_in(config);
  std::vector<OwnedBlock> owned;
  std::int64_t most_elements = 0;
  for (const blocks::BlockPlace& place : places) {
    OwnedBlock o;
    o.block = place.index;
    o.network = make_network(config, data, place);
    most_elements = std::max(most_elements, o.network->parameter_elements());
    owned.push_back(std::move(o));
  }
  std::vector<kernels::Tensor> rooms;
  Batch input, arriving;
  StepRoom* const step_room = bind_step_room(arenas.batch);
  kernels::Tensor staging;
  if (gpu) {
    rooms = bind_slots(arenas.state, most_elements, std::min(places.size(), most_slots), with_average, type);
    input = bind_batch(arenas.input, {data.channels, data.height, data.width}, samples);
    arriving = bind_batch(arenas.input, {data.channels, data.height, data.width}, samples);
    const std::size_t payload = static_cast<std::size_t>(most_elements + gradient_tail) * sizeof(float);
    const std::size_t staged = comm::staging_buffer_bytes(payload, replicas);
    if (staged > 0) staging = arenas.home.allocate_bytes(staged);
  }
  for (OwnedBlock& o : owned) {
    const std::int64_t elements = o.network->parameter_elements();
    if (gpu) {
      o.state = BlockState::bind(arenas.home, elements, with_average, DType::float32);
      for (std::size_t s = 0; s < rooms.size(); ++s) {
        Arena room = arenas.state.within(rooms[s]);
        o.slots[s] = BlockState::bind(room, elements, with_average, type);
      }
      o.live = o.slots[0];
      o.input = input;
      o.arriving = arriving;
      o.staging = staging;
    } else {
      o.state = BlockState::bind(arenas.state, elements, with_average, type);
      o.live = o.state;
    }
    o.step_room = step_room;
    // Blocks of one rank take turns: gradient and activations are those of the one that trains.
    arenas.gradient.rewind();
    o.gradient = arenas.gradient.allocate(DType::float32, {elements + gradient_tail});
    arenas.activations.rewind();
    o.network->bind_training(arenas.activations, type, micro_batch);
    if (config.eval.every_steps > 0) {
      // Held-out losses are measured between steps, when nothing of a step is needed any more.
      arenas.activations.rewind();
      o.network->bind_inference(arenas.activations, type, micro_batch);
    }
    if (!arenas.state.measures_only()) {
      o.network->bind_parameters(o.live.weights());
      o.network->bind_gradient(o.gradient.rows(0, elements));
    }
  }
  return owned;
}

}  // namespace blocktrain::trainer
