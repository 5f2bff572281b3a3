#pragma once
/// How blocks hang together while they train: by the parameters that all of them have (blocks::Parameter::shared), the
/// table of target embeddings, and what keeping its copies alike sends between ranks.

#include <cstdint>

#include "comm/placement.hpp"
#include "kernels/names.hpp"
#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

enum class CouplingMode : std::uint8_t {
  none,          ///< nothing is shared, or it stays as it is: blocks run freely
  periodic,      ///< copies are averaged every few steps, each block's optimizer state of it being its own
  synchronized,  ///< the gradients of all blocks are added in every step, so that the copies never differ
};
constexpr auto name_table(CouplingMode) {
  return names_up_to<CouplingMode::synchronized>("none", "periodic", "synchronized");
}

struct Coupling {
  CouplingMode mode = CouplingMode::none;
  std::int64_t every_steps = 1;  ///< steps from one meeting of all ranks to the next

  /// Whether no block can go on without the others.
  bool coupled() const { return mode != CouplingMode::none; }
  bool synchronized() const { return mode == CouplingMode::synchronized; }
  /// Whether all ranks meet where `steps` steps have been taken: before the last update of these where they are
  /// synchronized, else behind it.
  bool meets_after(std::int64_t steps) const { return coupled() && steps % every_steps == 0; }
};

/// What objective.target_embedding and objective.average_every_steps say; none where the objective has no such keys, or
/// a single block is trained.
Coupling coupling_of(const Config& config);

/// Numbers that a rank adds behind its part of what is shared: whether it was asked to stop, and whether it failed.
inline constexpr std::int64_t meeting_votes = 2;

/// Payload that `rank` sends in one meeting about `elements` shared numbers (trainer/exchange/shared_exchange.hpp).
std::uint64_t meeting_bytes_sent(const comm::Placement& placement, std::int64_t elements, int rank);

}  // namespace blocktrain::trainer
