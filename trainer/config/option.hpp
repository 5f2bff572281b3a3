#pragma once
/// Values on the command line, by the rules of those in a config: numbers are read by one parser, with one set of
/// messages.

#include <span>
#include <string>
#include <string_view>

#include "trainer/config/describe.hpp"

namespace blocktrain::trainer {

/// Puts `text`, given to `option`, into the value; a list's items are separated by commas. Throws InputError
/// "OPTION: found X; accepted: Y", and then leaves it alone.
void read_option(std::string_view option, std::string_view text, const SettingValue& value);

/// Gives settings the values of "KEY=VALUE" texts, as `--set` of `option` does for a whole config; a value is YAML.
/// Throws InputError: no such key, a value that is not accepted.
void read_overrides(std::string_view option, std::span<const std::string> overrides, std::span<const Setting> settings);

}  // namespace blocktrain::trainer
