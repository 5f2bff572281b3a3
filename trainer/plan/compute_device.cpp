#include "trainer/plan/compute_device.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <span>

#include "kernels/error.hpp"
#include "trainer/support/exit_status.hpp"

namespace blocktrain::trainer {
namespace {

constexpr auto control = comm::TrafficPurpose::control;

void require_float32(const Config& config) {
  if (config.model.precision == kernels::DType::float32) return;
  throw InputError(
      "model.precision: bfloat16 is computed on GPUs, and this run is on CPUs (parallel.device); set model.precision "
      "to float32, or run where `blocktrain doctor` finds a GPU");
}

}  // namespace

DeviceChoice device_here(const Config& config) {
  if (config.parallel.device != DeviceChoice::automatic) return config.parallel.device;
  return kernels::cuda_devices(nullptr) > 0 ? DeviceChoice::cuda : DeviceChoice::cpu;
}

DeviceChoice choose_device(comm::Communicator& world, const Config& config, const std::string& advice) {
  DeviceChoice choice = config.parallel.device;
  if (choice != DeviceChoice::cpu) {
    std::string why;
    const std::int32_t mine = kernels::cuda_devices(&why);
    const auto all = world.all_gather(std::as_bytes(std::span(&mine, 1)), control);
    const bool everywhere = std::all_of(all.begin(), all.end(), [](const std::vector<std::byte>& bytes) {
      std::int32_t count = 0;
      std::memcpy(&count, bytes.data(), std::min(bytes.size(), sizeof(count)));
      return count > 0;
    });
    if (choice == DeviceChoice::automatic) choice = everywhere ? DeviceChoice::cuda : DeviceChoice::cpu;
    all_or_none(world, [&] {
      if (choice == DeviceChoice::cuda && mine == 0)
        throw InputError("parallel.device: cuda was asked for, but " + why + advice);
    });
  }
  return choice;
}

DeviceChoice resolve_device(comm::Communicator& world, const Config& config) {
  const DeviceChoice choice = choose_device(world, config);
  all_or_none(world, [&] {
    if (choice == DeviceChoice::cpu) require_float32(config);
  });
  return choice;
}

std::unique_ptr<kernels::Device> make_device(const comm::Communicator& world, const comm::HostMap& hosts,
                                             const Config& config, int threads) {
  if (!on_gpu(config)) return kernels::make_cpu_device(threads);
  const int index = hosts.local_rank(world.rank()) % std::max(kernels::cuda_devices(nullptr), 1);
  return kernels::make_cuda_device(index, computed_in(config), true, config.parallel.cuda_graphs);
}

}  // namespace blocktrain::trainer
