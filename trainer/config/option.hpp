#pragma once
/// Values on the command line, by the rules of those in a config: numbers are read by one parser, with one set of
/// messages.

#include <string_view>

#include "trainer/config/describe.hpp"

namespace blocktrain::trainer {

/// Puts `text`, given to `option`, into the value; a list's items are separated by commas. Throws InputError
/// "OPTION: found X; accepted: Y", and then leaves it alone.
void read_option(std::string_view option, std::string_view text, const SettingValue& value);

}  // namespace blocktrain::trainer
