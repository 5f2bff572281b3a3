#include "trainer/worker/device_memory_check.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <span>
#include <string>

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

}  // namespace

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
