#include "trainer/exchange/block_transport.hpp"

#include <vector>

#include "comm/block_exchange.hpp"

namespace blocktrain::trainer {
namespace {

std::vector<comm::StateBuffer> parts_of(const BlockState& state) {
  std::vector<comm::StateBuffer> parts;
  for (const kernels::Tensor& t : {state.parameters, state.first_moment, state.second_moment, state.average}) {
    if (!t.empty()) parts.push_back({t.data, t.bytes()});
  }
  return parts;
}

}  // namespace

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
