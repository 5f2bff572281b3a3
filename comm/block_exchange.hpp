#pragma once
/// What blocks exchange besides gradients, between the devices of their ranks: noise schedules, weights for evaluation,
/// the state of a block that moves. All of it is control traffic: none is part of a training step. Each call returns
/// when its bytes have arrived, and throws RunError as DeviceCommunicator does.

#include <cstddef>
#include <span>

#include "comm/device_communicator.hpp"

namespace blocktrain::comm {

/// Root's noise schedule to the device memory of all ranks, which step reads from there. Collective; `bytes` the same
/// on all ranks.
void broadcast_schedule(DeviceCommunicator& communicator, void* schedule, std::size_t bytes, int root, void* stream);

/// The weights of one block. All ranks give the same blocks in the same order with the same owners and sizes.
struct BlockWeights {
  int owner = 0;         ///< rank that has them
  void* data = nullptr;  ///< device memory of this rank: read on the owner, written on the others
  std::size_t bytes = 0;
};

/// Weights of every block, from its owner to all ranks. Collective.
void share_weights(DeviceCommunicator& communicator, std::span<const BlockWeights> blocks, void* stream);

/// A piece of a block's state (weights, moments, averages) in device memory of this rank.
struct StateBuffer {
  void* data = nullptr;
  std::size_t bytes = 0;
};

/// State of a block from rank `from`, where `buffers` are read, to rank `to`, where they are written: as many, with the
/// same sizes, in the same order. Others may call and return at once. Nothing happens where the two are one rank.
void hand_over_block(DeviceCommunicator& communicator, int from, int to, std::span<const StateBuffer> buffers,
                     void* stream);

}  // namespace blocktrain::comm
