#pragma once
/// Batches on their way to a device with memory of its own.

#include "blocks/batch.hpp"
#include "kernels/device.hpp"

namespace blocktrain::trainer {

/// Copies a batch of the host to one of as many samples and the same fields on the device, in order with its ops.
inline void upload(kernels::Device& device, const blocks::Batch& to, const blocks::Batch& from) {
  for (std::size_t i = 0; i < blocks::most_fields; ++i) {
    const kernels::Tensor& field = from.fields[i];
    if (!field.empty()) device.upload(to.fields[i].data, field.data, field.bytes());
  }
}

}  // namespace blocktrain::trainer
