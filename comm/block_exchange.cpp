#include "comm/block_exchange.hpp"

#include <vector>

namespace blocktrain::comm {

void broadcast_schedule(DeviceCommunicator& communicator, void* schedule, std::size_t bytes, int root, void* stream) {
  communicator.broadcast(schedule, bytes, root, TrafficPurpose::control, stream);
  communicator.wait(stream);
}

void share_weights(DeviceCommunicator& communicator, std::span<const BlockWeights> blocks, void* stream) {
  for (const BlockWeights& block : blocks) {
    communicator.broadcast(block.data, block.bytes, block.owner, TrafficPurpose::control, stream);
    // The deadline is that of one block, however many there are.
    communicator.wait(stream);
  }
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
