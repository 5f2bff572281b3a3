#include "trainer/worker/block_slots.hpp"

#include <algorithm>

namespace blocktrain::trainer {
namespace {

/// Calls f(live, home) for every tensor that lives in both places.
template <class F>
void for_each_pair(const BlockState& live, const BlockState& home, const F& f) {
  f(live.parameters, home.parameters);
  f(live.first_moment, home.first_moment);
  f(live.second_moment, home.second_moment);
  if (!home.average.empty()) f(live.average, home.average);
}

}  // namespace

BlockSlots::BlockSlots(kernels::Device& device, std::vector<OwnedBlock>& owned)
    : device_(device), count_(std::min(owned.size(), most_slots)) {
  for (OwnedBlock& b : owned) {
    for (std::size_t s = 0; s < most_slots; ++s) {
      b.gradient_graph[s] = device.make_graph();
      b.update_graph[s] = device.make_graph();
    }
  }
}

void BlockSlots::enter(OwnedBlock& block) {
  if (device_.shares_host_memory()) return;
  if (in_slot_[block.slot] != &block)
    load(block, in_slot_[training_] == nullptr ? training_ : (training_ + 1) % count_);
  if (arriving_[block.slot]) {
    device_.ops_wait_for_copies(kernels::CopyStream::blocks);
    arriving_[block.slot] = false;
    if (!block.live.working.empty()) device_.ops().convert(block.live.working, block.live.parameters);
  }
  block.network->bind_parameters(block.live.weights());
  training_ = block.slot;
  changed_[training_] = true;
}

void BlockSlots::expect(OwnedBlock& block) {
  if (device_.shares_host_memory() || count_ < 2 || in_slot_[block.slot] == &block) return;
  load(block, 1 - training_);
}

void BlockSlots::bring_home(OwnedBlock& block) {
  if (device_.shares_host_memory()) return;
  if (in_slot_[block.slot] == &block && changed_[block.slot]) {
    store(block);
    // More steps may follow on what is still in the slot.
    changed_[block.slot] = block.slot == training_;
  }
  // One that has left its slot may still be on its way.
  device_.synchronize(kernels::CopyStream::blocks);
}

void BlockSlots::arrived(OwnedBlock& block) {
  if (device_.shares_host_memory()) return;
  BLOCKTRAIN_EXPECTS(in_slot_[0] == nullptr && in_slot_[1] == nullptr);
  in_slot_[0] = &block;
  changed_[0] = true;
  if (!block.live.working.empty()) device_.ops().convert(block.live.working, block.live.parameters);
}

void BlockSlots::forget(OwnedBlock& block) {
  if (in_slot_[block.slot] == &block) changed_[block.slot] = false;
}

void BlockSlots::load(OwnedBlock& block, std::size_t slot) {
  if (in_slot_[slot] != nullptr && changed_[slot]) store(*in_slot_[slot]);
  block.slot = slot;
  block.live = block.slots[slot];
  in_slot_[slot] = &block;
  changed_[slot] = false;
  device_.copies_wait_for_ops(kernels::CopyStream::blocks);
  for_each_pair(block.live, block.state, [&](const kernels::Tensor& live, const kernels::Tensor& home) {
    device_.copy_async(kernels::CopyStream::blocks, live.data, home.data, home.bytes());
  });
  arriving_[slot] = true;
}

void BlockSlots::store(const OwnedBlock& block) {
  device_.copies_wait_for_ops(kernels::CopyStream::blocks);
  for_each_pair(block.live, block.state, [&](const kernels::Tensor& live, const kernels::Tensor& home) {
    device_.copy_async(kernels::CopyStream::blocks, home.data, live.data, home.bytes());
  });
}

}  // namespace blocktrain::trainer
