#pragma once
/// The keys of the section `parallel`.

#include <chrono>
#include <cstdint>
#include <vector>

#include "blocks/activation_checkpointing.hpp"
#include "blocks/setting.hpp"
#include "comm/device_transport.hpp"
#include "kernels/names.hpp"

namespace blocktrain::trainer {

using blocks::ActivationCheckpointing;

enum class DeviceChoice : std::uint8_t { automatic, cpu, cuda };
constexpr auto name_table(DeviceChoice) { return names_up_to<DeviceChoice::cuda>("auto", "cpu", "cuda"); }

enum class TransportChoice : std::uint8_t { automatic, mpi, local };
constexpr auto name_table(TransportChoice) { return names_up_to<TransportChoice::local>("auto", "mpi", "local"); }

struct ParallelConfig {
  DeviceChoice device = DeviceChoice::automatic;
  TransportChoice transport = TransportChoice::automatic;
  comm::DeviceTransport gpu_transport = comm::DeviceTransport::automatic;
  int ranks = 0;                      ///< ranks of the threads transport; 0: one
  int threads = 0;                    ///< compute threads per rank; 0: this host's cores shared among its ranks
  std::int64_t steps_per_visit = 50;  ///< steps a rank that owns several blocks trains one before the next
  bool rebalance = true;              ///< a rank whose blocks are done takes over one of a rank that has several left
  double timeout_seconds = 120;       ///< no wait for another rank is longer
  bool cuda_graphs = true;            ///< a step on a GPU is captured once and replayed
  /// What a layer keeps for its backward pass. Here and not under `model`, for it changes memory and time but not a bit
  /// of the weights, and keys of this section are not part of the experiment's identity.
  ActivationCheckpointing activation_checkpointing = ActivationCheckpointing::none;

  /// timeout_seconds, as waits take it.
  std::chrono::milliseconds timeout() const {
    return std::chrono::milliseconds(static_cast<std::int64_t>(timeout_seconds * 1000));
  }
  void describe(std::vector<blocks::Setting>& out);
  void check(std::vector<blocks::Conflict>& out) const;
  bool operator==(const ParallelConfig&) const = default;
};

}  // namespace blocktrain::trainer
