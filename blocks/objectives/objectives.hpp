#pragma once
/// The objectives that architectures are trained by: a list of one line each, as that of the architectures.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "blocks/batch.hpp"
#include "blocks/network.hpp"
#include "blocks/network_settings.hpp"
#include "blocks/objective.hpp"
#include "blocks/options.hpp"
#include "blocks/parameters.hpp"

namespace blocktrain::blocks {

/// What the noise levels of an objective are.
enum class Levels : std::uint8_t {
  none,    ///< there is no noise
  sigma,   ///< the noise's deviation, so the keys of noise.* (noise/noise_options.hpp) are the run's
  masked,  ///< the share of a sample's tokens that are masked: m of n, 0 < m <= n
};

struct ObjectiveEntry {
  std::string_view name;
  std::string_view meaning;  ///< for people, behind the name
  Levels levels;
  /// The objective of one block, from its own keys, which registers its parameters behind those of the network. Throws
  /// InputError when settings and data do not fit. An end-to-end twin is given the keys of the blocks' objective.
  std::unique_ptr<Objective> (*make)(const Options& own, const NetworkSettings& settings, const SampleLayout& layout,
                                     const BlockPlace& place, ParameterLayout& parameters);
  Options (*options)();                        ///< its own keys, at their defaults
  std::span<const SettingDefault> defaults{};  ///< where they are not what the key's owner says; an architecture's win
};

std::span<const ObjectiveEntry> objectives();

/// The one of that name; null where there is none.
inline const ObjectiveEntry* find_objective(std::string_view name) { return entry_named(objectives(), name); }

}  // namespace blocktrain::blocks
