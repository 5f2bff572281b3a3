#include "trainer/plan/rank_memory.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "comm/staged/staged_communicator.hpp"
#include "trainer/plan/coupling.hpp"

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
std::vector<kernels::Tensor> bind_slots(Arena& arena, std::int64_t elements, std::size_t count, bool with_average,
                                        DType type) {
  Arena size = Arena::measuring("slot");
  BlockState::bind(size, elements, with_average, type);
  std::vector<kernels::Tensor> rooms;
  for (std::size_t s = 0; s < count; ++s) {
    rooms.push_back(arena.allocate_bytes(size.peak()));
  }
  return rooms;
}

OwnedBlock make_owned(const Config& config, const blocks::SampleLayout& data, const blocks::BlockPlace& place) {
  OwnedBlock o;
  o.block = place.index;
  o.network = make_block(config, data, place);
  if (coupling_of(config).synchronized()) o.pieces = update_pieces(*o.network);
  return o;
}

std::int64_t most_elements(const std::vector<OwnedBlock>& owned) {
  std::int64_t most = 0;
  for (const OwnedBlock& o : owned) most = std::max(most, o.network->parameter_elements());
  return most;
}

StepRoom* bind_step_room(Arena& arena) {
  StepRoom* const room = arena.room_for<StepRoom>();
  return room == nullptr ? nullptr : new (room) StepRoom;
}

/// Binds blocks that take turns on a rank: their states, one gradient and one block's activations. What they share with
/// each other besides is in them already.
void bind_states(RankArenas& arenas, const Config& config, std::vector<OwnedBlock>& owned, std::int64_t micro_batch) {
  const bool gpu = on_gpu(config), with_average = config.optimizer.average_decay > 0;
  const bool synchronized = coupling_of(config).synchronized();
  const DType type = computed_in(config);
  kernels::StepState* const shared_state = synchronized ? arenas.gradient.room_for<kernels::StepState>() : nullptr;
  std::vector<kernels::Tensor> rooms;
  if (gpu)
    rooms = bind_slots(arenas.state, most_elements(owned), std::min(owned.size(), most_slots), with_average, type);
  for (OwnedBlock& o : owned) {
    const std::int64_t elements = o.network->parameter_elements();
    if (gpu) {
      o.state = BlockState::bind(arenas.home, elements, with_average, DType::float32);
      for (std::size_t s = 0; s < rooms.size(); ++s) {
        Arena room = arenas.state.within(rooms[s]);
        o.slots[s] = BlockState::bind(room, elements, with_average, type);
      }
      o.live = o.slots[0];
    } else {
      o.state = BlockState::bind(arenas.state, elements, with_average, type);
      o.live = o.state;
    }
    // Blocks of one rank take turns: gradient and activations are those of the one that trains. The gradients of
    // synchronized blocks wait for each other.
    if (!synchronized) arenas.gradient.rewind();
    o.shared_state = shared_state;
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
}

}  // namespace

std::vector<UpdatePiece> update_pieces(const blocks::Block& block) {
  std::vector<UpdatePiece> pieces;
  const auto add = [&](std::int64_t begin, std::int64_t end, bool shared) {
    if (begin == end) return;
    UpdatePiece piece{{begin, end}, shared, {}};
    for (const kernels::ElementRange& r : block.undecayed()) {
      const std::int64_t from = std::max(r.begin, begin), to = std::min(r.end, end);
      if (from < to) piece.undecayed.push_back({from - begin, to - begin});
    }
    pieces.push_back(std::move(piece));
  };
  std::int64_t at = 0;
  for (const kernels::ElementRange& r : block.shared()) {
    // With the padding behind it, so that every piece begins where a parameter does.
    constexpr std::int64_t step = blocks::ParameterLayout::alignment;
    const std::int64_t end = (r.end + step - 1) / step * step;
    add(at, r.begin, false);
    add(r.begin, end, true);
    at = end;
  }
  add(at, block.parameter_elements(), false);
  return pieces;
}

BlockTensors<const float> checkpoint_tensors(const OwnedBlock& block) {
  const auto values = [](const kernels::Tensor& t) {
    if (t.empty()) return std::span<const float>();
    return std::span<const float>(t.as<float>(), static_cast<std::size_t>(t.size()));
  };
  return {values(block.state.parameters), values(block.state.first_moment), values(block.state.second_moment),
          values(block.state.average)};
}

std::vector<OwnedBlock> bind_blocks(RankArenas& arenas, const Config& config, const blocks::SampleLayout& data,
                                    const std::vector<blocks::BlockPlace>& places, std::int64_t micro_batch,
                                    std::int64_t samples, int replicas) {
  const bool gpu = on_gpu(config);
  std::vector<OwnedBlock> owned;
  for (const blocks::BlockPlace& place : places) owned.push_back(make_owned(config, data, place));
  blocks::Batch input, arriving;
  StepRoom* const step_room = bind_step_room(arenas.batch);
  auto* const schedule = static_cast<kernels::SigmaInterval*>(
      (gpu ? arenas.input : arenas.batch)
          .allocate_bytes(static_cast<std::size_t>(places.front().count) * sizeof(kernels::SigmaInterval))
          .data);
  kernels::Tensor staging;
  if (gpu) {
    input = blocks::bind_batch(arenas.input, data, samples);
    arriving = blocks::bind_batch(arenas.input, data, samples);
    const std::size_t payload = static_cast<std::size_t>(most_elements(owned) + gradient_tail) * sizeof(float);
    const std::size_t staged = comm::staging_buffer_bytes(payload, replicas);
    if (staged > 0) staging = arenas.home.allocate_bytes(staged);
  }
  kernels::Tensor meeting;
  if (coupling_of(config).coupled()) {
    std::int64_t shared = 0;
    for (const kernels::ElementRange& r : owned.front().network->shared()) shared += r.end - r.begin;
    meeting = arenas.batch.allocate(DType::float32, {2, shared + meeting_votes});
  }
  for (OwnedBlock& o : owned) {
    o.meeting = meeting;
    o.input = input;
    o.arriving = arriving;
    o.staging = staging;
    o.step_room = step_room;
    o.schedule = schedule;
  }
  bind_states(arenas, config, owned, micro_batch);
  return owned;
}

void bind_instead(RankArenas& arenas, const Config& config, const blocks::SampleLayout& data,
                  const blocks::BlockPlace& place, std::int64_t micro_batch, std::vector<OwnedBlock>& owned) {
  OwnedBlock next = make_owned(config, data, place);
  const OwnedBlock& before = owned.front();
  BLOCKTRAIN_EXPECTS(before.staging.empty());  // a rank that owned several blocks has no replicas
  next.input = before.input;
  next.arriving = before.arriving;
  next.step_room = before.step_room;
  next.schedule = before.schedule;
  owned.clear();
  owned.push_back(std::move(next));
  arenas.state.rewind();
  arenas.home.rewind();
  bind_states(arenas, config, owned, micro_batch);
}

kernels::Tensor bind_transport_buffer(RankArenas& arenas, bool on_gpu, bool rebalances, int world) {
  // A block passes in pieces, so that its move takes little memory; a schedule in a few.
  constexpr std::size_t for_blocks = std::size_t{1} << 20, for_schedule = 4096;
  if (world == 1 || (!on_gpu && !rebalances)) return {};
  return arenas.batch.allocate_bytes(rebalances ? for_blocks : for_schedule);
}

void write_schedule(kernels::Device& device, const OwnedBlock& block,
                    std::span<const kernels::SigmaInterval> intervals) {
  BLOCKTRAIN_EXPECTS(static_cast<int>(intervals.size()) == block.network->place().count);
  device.upload(block.schedule, intervals.data(), intervals.size_bytes());
  const auto read = device.make_event();
  device.record(*read);
  device.synchronize(*read);  // the caller may let go of the intervals
}

}  // namespace blocktrain::trainer
