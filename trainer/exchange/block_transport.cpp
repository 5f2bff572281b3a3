#include "trainer/exchange/block_transport.hpp"

#include <vector>

#include "comm/block_exchange.hpp"

namespace blocktrain::trainer {
namespace {

/// A block passes in pieces of this size, so that its move takes little memory.
constexpr std::size_t block_buffer_bytes = std::size_t{1} << 20;
/// Enough for a schedule in a few pieces.
constexpr std::size_t schedule_buffer_bytes = 4096;

std::vector<comm::StateBuffer> parts_of(const BlockState& state) {
  std::vector<comm::StateBuffer> parts;
  for (const kernels::Tensor& t : {state.parameters, state.first_moment, state.second_moment, state.average}) {
    if (!t.empty()) parts.push_back({t.data, t.bytes()});
  }
  return parts;
}

}  // namespace

kernels::Tensor BlockTransport::bind(RankArenas& arenas, bool on_gpu, bool rebalances, int world) {
  if (world == 1 || (!on_gpu && !rebalances)) return {};
  return arenas.batch.allocate_bytes(rebalances ? block_buffer_bytes : schedule_buffer_bytes);
}

BlockTransport::BlockTransport(const DeviceGroup& world, const kernels::Tensor& buffer, kernels::Device& device,
                               const OwnedBlock& block, bool rebalances)
    : device_(device) {
  const std::size_t bytes = static_cast<std::size_t>(block.network->place().count) * sizeof(kernels::SigmaInterval);
  if (buffer.empty()) {
    // On one rank there is nothing to send, and without a GPU the schedule is in host memory.
    if (world.communicator.size() > 1) {
      world.communicator.broadcast(std::span(reinterpret_cast<std::byte*>(block.schedule), bytes), 0,
                                   comm::TrafficPurpose::control);
    }
    return;
  }
  connection_ = connect_devices(world, std::span(static_cast<std::byte*>(buffer.data), buffer.bytes()));
  comm::broadcast_schedule(*connection_, block.schedule, bytes, 0, device.stream());
  if (rebalances) return;
  connection_->finish();
  done_ = connection_->traffic();
  connection_.reset();
}

void BlockTransport::send(const BlockState& live, int to) {
  comm::hand_over_block(*connection_, connection_->rank(), to, parts_of(live), device_.stream());
}

void BlockTransport::receive(const BlockState& live, int from) {
  comm::hand_over_block(*connection_, from, connection_->rank(), parts_of(live), device_.stream());
}

}  // namespace blocktrain::trainer
