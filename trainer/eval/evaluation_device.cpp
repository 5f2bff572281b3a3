#include "trainer/eval/evaluation_device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "comm/host.hpp"
#include "kernels/error.hpp"
#include "trainer/plan/compute_device.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/support/threads.hpp"
#include "trainer/support/units.hpp"

namespace blocktrain::trainer {

std::unique_ptr<kernels::Device> make_evaluation_device(EvaluationRanks& ranks, const Config& config,
                                                        ThreadChoice& threads) {
  Config resolved = config;
  resolved.parallel.device = choose_device(
      ranks.world(), config, ". A run trained anywhere is computed on the CPU with --set parallel.device=cpu");
  const comm::HostMap hosts = comm::map_hosts(ranks.world());
  threads = choose_threads(ranks.world(), hosts, config.parallel.threads);
  std::unique_ptr<kernels::Device> device;
  ranks.together([&] { device = make_device(ranks.world(), hosts, resolved, threads.threads); });
  return device;
}

std::int64_t evaluation_batch(const Config& config, const kernels::Device& device, std::int64_t tokens) {
  if (config.eval.batch > 0) return config.eval.batch;
  // Small enough for a laptop, large enough for the matrix products.
  if (device.shares_host_memory()) return 128;
  // A GPU wants rows enough to be busy and to hide its launches; beyond these it gains nothing. The number does not
  // depend on the memory that happens to be free, for libraries may round otherwise at another number of rows.
  constexpr std::int64_t rows = std::int64_t{1} << 16;
  return std::clamp<std::int64_t>(rows / tokens, 16, 1024);
}

void require_device_memory(const kernels::Device& device, int sharing, std::int64_t batch,
                           const std::function<std::size_t(std::int64_t)>& planned) {
  const kernels::DeviceFacts& facts = device.facts();
  if (facts.kind != "cuda") return;
  // Now, when all ranks have made their devices.
  const std::size_t free = device.free_bytes().value_or(facts.free_bytes);
  const auto needed = [&](std::int64_t samples) { return static_cast<std::size_t>(sharing) * planned(samples); };
  if (needed(batch) <= free) return;
  std::int64_t fits = batch / 2;
  while (fits >= 1 && needed(fits) > free) fits /= 2;
  const std::string who = sharing == 1 ? std::string() : fmt::format(" ({} ranks)", sharing);
  throw InputError(fmt::format(
      "eval.batch: {} images at a time need {} on {} {}{}, where {} are free: {}", batch,
      bytes(static_cast<double>(needed(batch))), facts.name, facts.uuid, who, bytes(static_cast<double>(free)),
      fits >= 1 ? fmt::format("--set eval.batch={} would fit", fits)
      : sharing > 1
          ? "no eval.batch would fit; start as many ranks as there are GPUs, or compute on the CPU with --set "
            "parallel.device=cpu"
          : "no eval.batch would fit; compute on another GPU, or on the CPU with --set parallel.device=cpu"));
}

void require_host_memory(const std::vector<MemoryBound>& bounds, int sharing, std::int64_t batch,
                         const std::function<std::size_t(std::int64_t)>& planned) {
  for (const MemoryBound& bound : bounds) {
    const std::int64_t ranks = bound.of_process ? 1 : sharing;
    const auto needed = [&](std::int64_t samples) {
      return ranks * (static_cast<std::int64_t>(planned(samples)) + bound.beside_plan);
    };
    if (needed(batch) <= bound.available) continue;
    std::int64_t fits = batch / 2;
    while (fits >= 1 && needed(fits) > bound.available) fits /= 2;
    throw InputError(fmt::format(
        "eval.batch: {} images at a time need {}{}, where {} leaves {}: {}{}", batch,
        bytes(static_cast<double>(needed(batch))), ranks == 1 ? std::string() : fmt::format(" ({} ranks)", ranks),
        bound.what, bytes(static_cast<double>(bound.available)), bound.remedy,
        fits >= 1 ? fmt::format("--set eval.batch={} would fit", fits)
                  : std::string("no eval.batch would fit; use a machine with more memory, or fewer ranks")));
  }
}

}  // namespace blocktrain::trainer
