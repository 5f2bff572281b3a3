#pragma once
/// What a rank computes on in `eval` and `generate`, by parallel.device, and how many samples it takes at a time.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/device.hpp"
#include "trainer/config/config.hpp"
#include "trainer/eval/evaluation_ranks.hpp"
#include "trainer/plan/memory_check.hpp"
#include "trainer/support/threads.hpp"

namespace blocktrain::trainer {

/// A GPU, in model.precision, where every rank sees one, or the CPU, in float32: it computes in nothing else, and the
/// weights of a checkpoint are float32 whatever the run computed in. Of the GPUs that they see, the ranks of a host
/// take turns; one process takes the first. Throws InputError, on all ranks, where parallel.device asks for a GPU and a
/// rank has none. `threads` is what a CPU computes on. All ranks call together.
std::unique_ptr<kernels::Device> make_evaluation_device(EvaluationRanks& ranks, const Config& config,
                                                        ThreadChoice& threads);

/// Samples at a time of a network that cuts a sample into `tokens`: eval.batch, or what suits the device.
std::int64_t evaluation_batch(const Config& config, const kernels::Device& device, std::int64_t tokens);

/// Throws InputError, naming eval.batch and a value that would do, where the planned bytes of `batch` samples at a time
/// on each of the `sharing` ranks that compute there are more than a GPU has free. `planned` prices any number of
/// samples on one rank. Nothing on a CPU.
void require_device_memory(const kernels::Device& device, int sharing, std::int64_t batch,
                           const std::function<std::size_t(std::int64_t)>& planned);

/// The same for ranks that compute on the CPU, `sharing` of them on this host: `bounds` (memory_bounds()) say what
/// there is, for each process alone where it is a limit of processes.
void require_host_memory(const std::vector<MemoryBound>& bounds, int sharing, std::int64_t batch,
                         const std::function<std::size_t(std::int64_t)>& planned);

}  // namespace blocktrain::trainer
