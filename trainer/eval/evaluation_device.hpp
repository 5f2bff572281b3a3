#pragma once
/// What a trained network computes on in `eval` and `generate`: parallel.device, for one process alone, and how many
/// images it takes at a time.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/device.hpp"
#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

/// The first GPU that this process sees, in model.precision, or the CPU, in float32: it computes in nothing else, and
/// the weights of a checkpoint are float32 whatever the run computed in. Throws InputError where parallel.device asks
/// for a GPU and there is none.
std::unique_ptr<kernels::Device> make_evaluation_device(const Config& config);

/// Images at a time of a network that cuts an image into `tokens`: eval.batch, or what suits the device.
std::int64_t evaluation_batch(const Config& config, const kernels::Device& device, std::int64_t tokens);

/// Throws InputError, naming eval.batch and a value that would do, where the planned bytes of `batch` images at a time
/// are more than a GPU has free. `planned` prices any number of images.
void require_device_memory(const kernels::DeviceFacts& facts, std::int64_t batch,
                           const std::function<std::size_t(std::int64_t)>& planned);

}  // namespace blocktrain::trainer
