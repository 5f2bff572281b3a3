#pragma once
/// The architectures that model.architecture names: a list of one line each. An entry says what an architecture is
/// trained for, makes its networks, and has the keys that are its own and the defaults that it wants of others.

#include <memory>
#include <span>
#include <string_view>

#include "blocks/batch.hpp"
#include "blocks/network.hpp"
#include "blocks/network_settings.hpp"
#include "blocks/options.hpp"
#include "blocks/parameters.hpp"

namespace blocktrain::blocks {

struct Architecture {
  std::string_view name;
  std::string_view meaning;    ///< for people, behind the name
  std::string_view objective;  ///< what its blocks are trained by: a name of objectives()
  std::string_view task;       ///< what it is trained for: a name of the tasks of trainer/
  /// The network of one block, from its own keys, which registers its parameters. Throws InputError when settings and
  /// data do not fit.
  std::unique_ptr<Network> (*make)(const Options& own, const NetworkSettings& settings, const SampleLayout& layout,
                                   const BlockPlace& place, ParameterLayout& parameters) = nullptr;
  Options (*options)();                        ///< its own keys, at their defaults
  std::span<const SettingDefault> defaults{};  ///< where they are not what the key's owner says
  std::string_view end_to_end{};  ///< the objective of the whole network end to end; empty: that of the blocks
};

/// All of them; the first is the default. In a file of its own, so that a test can have another list.
std::span<const Architecture> architectures();

/// The one of that name; null where there is none.
inline const Architecture* find_architecture(std::string_view name) { return entry_named(architectures(), name); }

}  // namespace blocktrain::blocks
