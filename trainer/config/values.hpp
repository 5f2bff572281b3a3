#pragma once
/// Values of settings from YAML and back.

#include <optional>
#include <string>
#include <string_view>

#include "trainer/config/describe.hpp"
#include "trainer/config/document.hpp"

namespace blocktrain::trainer {

using blocks::shortest;

/// What a key accepts, in words: "an integer from 1 to 4096".
std::string accepted_values(const SettingValue& value);

/// Gives the setting the value of `node`. Returns what is wrong with it, "found X; accepted: Y", and then leaves it
/// alone.
std::optional<std::string> assign(const Setting& setting, const Node& node);

/// The value as YAML on one line; assign() of it gives the same value, doubles to the bit.
std::string to_yaml_value(const SettingValue& value);

/// The same for a value that the program itself spells, another default for instance. Throws std::logic_error where it
/// is none of the key's values.
void set_from_text(const Setting& setting, std::string_view yaml);

/// "found X" in words, for a message about `node`.
std::string found(const Node& node);

}  // namespace blocktrain::trainer
