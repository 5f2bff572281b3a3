#include "trainer/plan/compute_device.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <span>

#include "kernels/error.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/support/units.hpp"
#include "trainer/worker/step_probe.hpp"

namespace blocktrain::trainer {
namespace {

constexpr auto control = comm::TrafficPurpose::control;

/// A rank's GPU, by its UUID, and what its probe has taken there, in a message of fixed size.
struct OnDevice {
  char uuid[64] = {};
  std::uint64_t probe_bytes = 0;
};

void require_float32(const Config& config) {
  if (config.model.precision == Precision::float32) return;
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

void require_device_memory(comm::Communicator& world, const Config& config, const blocks::SampleLayout& data,
                           const Plan& plan, kernels::Device& device) {
  const kernels::DeviceFacts& facts = device.facts();
  if (facts.kind != "cuda") return;  // as on all ranks
  std::optional<StepProbe> probe;
  try {
    probe.emplace(device, config, data);
  } catch (const std::exception&) {
    // A GPU this full will be refused below; anything else will show in the first step, in the run's own words.
  }
  OnDevice mine;
  mine.probe_bytes = probe ? probe->device_bytes() : 0;
  std::strncpy(mine.uuid, facts.uuid.c_str(), sizeof(mine.uuid) - 1);
  const auto all = world.all_gather(std::as_bytes(std::span(&mine, 1)), control);
  all_or_none(world, [&] {
    std::size_t planned = 0;
    // Now, when all ranks have loaded theirs; their probes will be gone.
    std::size_t free = device.free_bytes().value_or(facts.free_bytes);
    int sharing = 0;
    for (std::size_t r = 0; r < all.size(); ++r) {
      OnDevice other;
      std::memcpy(&other, all[r].data(), std::min(all[r].size(), sizeof(other)));
      if (std::memcmp(other.uuid, mine.uuid, sizeof(mine.uuid)) != 0) continue;
      planned += plan.ranks[r].bytes.on_device(true) + plan.ranks[r].attention_scratch;
      free += other.probe_bytes;
      ++sharing;
    }
    if (planned <= free) return;
    const bool keeps_all = plan.checkpointing == ActivationCheckpointing::none;
    throw InputError("the plan needs " + bytes(static_cast<double>(planned)) + " on " + facts.name + " " + facts.uuid +
                     " (" + std::to_string(sharing) + (sharing == 1 ? " rank" : " ranks") + "), where " +
                     bytes(static_cast<double>(free)) +
                     " are free: " + (keeps_all ? "set parallel.activation_checkpointing to layer, " : "") +
                     "lower data.micro_batch, use more GPUs or more blocks, or a narrower model");
  });
}

}  // namespace blocktrain::trainer
