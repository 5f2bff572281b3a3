#include "comm/block_exchange.hpp"

#include <vector>

#include "kernels/error.hpp"

namespace blocktrain::comm {

void broadcast_schedule(DeviceCommunicator& communicator, void* schedule, std::size_t bytes, int root, void* stream) {
  communicator.broadcast(schedule, bytes, root, TrafficPurpose::control, stream);
  communicator.wait(stream);
}

void gather_weights(DeviceCommunicator& communicator, std::span<const BlockWeights> blocks, int root, void* stream) {
  const int rank = communicator.rank();
  std::vector<Transfer> transfers;
  for (const BlockWeights& block : blocks) {
    BLOCKTRAIN_EXPECTS(block.owner >= 0 && block.owner < communicator.size());
    const bool in_place = block.owner == root && block.source == block.destination;
    if (in_place && rank == root) continue;
    if (block.owner == rank) transfers.push_back(send_to(root, block.source, block.bytes));
    if (root == rank) transfers.push_back(receive_from(block.owner, block.destination, block.bytes));
  }
  if (transfers.empty()) return;
  communicator.exchange(transfers, TrafficPurpose::control, stream);
  communicator.wait(stream);
}

void hand_over_block(DeviceCommunicator& communicator, int from, int to, std::span<const StateBuffer> buffers,
                     void* stream) {
  const int rank = communicator.rank();
  if (from == to || (rank != from && rank != to)) return;
  std::vector<Transfer> transfers;
  for (const StateBuffer& buffer : buffers) {
    transfers.push_back(rank == from ? send_to(to, buffer.data, buffer.bytes)
                                     : receive_from(from, buffer.data, buffer.bytes));
  }
  communicator.exchange(transfers, TrafficPurpose::control, stream);
  communicator.wait(stream);
}

}  // namespace blocktrain::comm
