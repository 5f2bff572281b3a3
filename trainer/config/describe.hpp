#pragma once
/// Every key of a config, joined from the lists of those who declare them. The loader, to_yaml, docs/config.md and the
/// suggestions in errors all come from it, so they cannot disagree.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blocks/setting.hpp"
#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

using blocks::Setting;
using blocks::SettingValue;

struct Section {
  std::string_view name, doc;
  bool trains;  ///< whether other values of its keys train other weights (but for Setting::trains)
};

/// The sections in the order in which they are written, whether or not the architecture has keys there.
std::span<const Section> sections();

/// Every key that the config's architecture has, in the order in which it is written, which is part of the identity of
/// an experiment; the references point into `config`.
std::vector<Setting> describe(Config& config);

/// The value of a key of that full name; nothing where the config's architecture has no such key. Precondition: it is
/// of that type.
template <class T>
std::optional<T> value_of(const Config& config, std::string_view name) {
  Config copy = config;
  const std::vector<Setting> all = describe(copy);
  const T* value = blocks::value_of<T>(all, name);
  return value == nullptr ? std::nullopt : std::optional<T>(*value);
}

/// Tokens of a window: model.context. Precondition: the architecture is one of tokens.
std::int64_t context_of(const Config& config);

/// Whether another value of the key trains other weights, so that it makes another experiment (experiment.hpp).
bool part_of_identity(const Setting& setting);

/// The architectures that have a key, in the order of their list; empty: no such key.
std::vector<std::string_view> architectures_with(std::string_view section, std::string_view key);

}  // namespace blocktrain::trainer
