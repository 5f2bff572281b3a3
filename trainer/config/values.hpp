#pragma once
/// Values of fields from YAML and back.

#include <optional>
#include <string>

#include "trainer/config/describe.hpp"
#include "trainer/config/document.hpp"

namespace blocktrain::trainer {

/// What a field accepts, in words: "an integer from 1 to 4096".
std::string accepted_values(const FieldValue& value);

/// Puts `node` into the field. Returns what is wrong with it, "found X; accepted: Y", and then leaves the field alone.
std::optional<std::string> assign(const Field& field, const Node& node);

/// The field's value as YAML on one line; assign() of it gives the same value, doubles to the bit.
std::string to_yaml_value(const FieldValue& value);

/// Shortest decimal form that reads back as the same double, in a spelling that YAML 1.1 readers (PyYAML) also take
/// for a number.
std::string shortest(double value);

/// "found X" in words, for a message about `node`.
std::string found(const Node& node);

}  // namespace blocktrain::trainer
