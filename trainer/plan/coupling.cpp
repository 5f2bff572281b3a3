#include "trainer/plan/coupling.hpp"

#include <algorithm>
#include <string_view>
#include <variant>
#include <vector>

#include "comm/traffic.hpp"
#include "kernels/error.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/plan/network.hpp"

namespace blocktrain::trainer {
namespace {

/// The name that a key of that full name has for its value; empty where there is no such key.
std::string_view chosen_name(const std::vector<Setting>& all, std::string_view key) {
  const Setting* const setting = blocks::find_setting(all, key);
  if (setting == nullptr) return {};
  const auto& value = std::get<blocks::NameValue>(setting->value);
  return value.names[*value.value];
}

}  // namespace

Coupling coupling_of(const Config& config) {
  Coupling coupling;
  if (trained_blocks(config) < 2) return coupling;
  Config copy = config;
  const std::vector<Setting> all = describe(copy);
  // A table that is frozen couples nothing.
  coupling.mode =
      value_named<CouplingMode>(chosen_name(all, "objective.target_embedding")).value_or(CouplingMode::none);
  if (coupling.mode == CouplingMode::periodic) {
    const int* const every = blocks::value_of<int>(all, "objective.average_every_steps");
    BLOCKTRAIN_EXPECTS(every != nullptr && *every >= 1);
    coupling.every_steps = *every;
  }
  return coupling;
}

std::uint64_t meeting_bytes_sent(const comm::Placement& placement, std::int64_t elements, int rank) {
  const std::size_t world = placement.blocks_of_rank.size(), blocks = placement.ranks_of_block.size();
  const auto numbers = static_cast<std::uint64_t>(elements + meeting_votes);
  if (world >= blocks) return comm::all_reduce_bytes_sent(numbers, static_cast<int>(world), rank);
  const std::size_t mine = placement.blocks_of_rank[static_cast<std::size_t>(rank)].size();
  return static_cast<std::uint64_t>(world - 1) * mine * numbers * sizeof(float);
}

}  // namespace blocktrain::trainer
