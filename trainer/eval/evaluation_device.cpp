#include "trainer/eval/evaluation_device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "kernels/error.hpp"
#include "trainer/run/compute_device.hpp"
#include "trainer/run/network.hpp"
#include "trainer/run/threads.hpp"
#include "trainer/run/units.hpp"

namespace blocktrain::trainer {

std::unique_ptr<kernels::Device> make_evaluation_device(const Config& config) {
  std::string why;
  if (config.parallel.device == DeviceChoice::cuda && kernels::cuda_devices(&why) == 0) {
    throw InputError("parallel.device: cuda was asked for, but " + why +
                     ". A run trained anywhere is computed on the CPU with --set parallel.device=cpu");
  }
  if (device_here(config) == DeviceChoice::cuda) return kernels::make_cuda_device(0, computed_in(config), true);
  return kernels::make_cpu_device(config.parallel.threads > 0 ? config.parallel.threads : automatic_threads(1));
}

std::int64_t evaluation_batch(const Config& config, const kernels::Device& device, std::int64_t tokens) {
  if (config.eval.batch > 0) return config.eval.batch;
  // Small enough for a laptop at 32x32 pixels, large enough for the matrix products.
  if (device.shares_host_memory()) return 128;
  // A GPU wants rows enough to be busy and to hide its launches; beyond these it gains nothing. The number does not
  // depend on the memory that happens to be free, for libraries may round otherwise at another number of rows.
  constexpr std::int64_t rows = std::int64_t{1} << 16;
  return std::clamp<std::int64_t>(rows / tokens, 16, 1024);
}

void require_device_memory(const kernels::DeviceFacts& facts, std::int64_t batch,
                           const std::function<std::size_t(std::int64_t)>& planned) {
  if (facts.kind != "cuda") return;
  const std::size_t needed = planned(batch);
  if (needed <= facts.free_bytes) return;
  std::int64_t fits = batch / 2;
  while (fits >= 1 && planned(fits) > facts.free_bytes) fits /= 2;
  throw InputError(fmt::format(
      "eval.batch: {} images at a time need {} on {} {}, where {} are free: {}", batch,
      bytes(static_cast<double>(needed)), facts.name, facts.uuid, bytes(static_cast<double>(facts.free_bytes)),
      fits >= 1 ? fmt::format("--set eval.batch={} would fit", fits)
                : "no eval.batch would fit; compute on another GPU, or on the CPU with --set parallel.device=cpu"));
}

}  // namespace blocktrain::trainer
