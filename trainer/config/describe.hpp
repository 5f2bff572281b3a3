#pragma once
/// One description of every key of a config: name, reference to its field, meaning with unit, accepted values.
/// The loader, to_yaml, docs/config.md and the suggestions in errors all come from it, so they cannot disagree.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

/// Integers from lowest to highest, both accepted.
struct IntegerRange {
  std::int64_t lowest = 0, highest = 0;
};

/// Finite numbers from lowest to highest; an `open` end itself is not accepted.
struct NumberRange {
  double lowest = 0, highest = 0;
  bool lowest_open = false, highest_open = false;
};

/// Accepted number of items of a list.
struct ListLength {
  std::size_t least = 0, most = 0;
};

/// Spellings of an enum, in the order of its enumerators from 0.
struct Names {
  std::span<const std::string_view> accepted;
};

struct PathField {
  std::string* value;
};
struct BooleanField {
  bool* value;
};
struct IntField {
  int* value;
  IntegerRange range;
};
struct LongField {
  std::int64_t* value;
  IntegerRange range;
};
struct SeedField {  ///< every unsigned 64-bit integer
  std::uint64_t* value;
};
struct NumberField {
  double* value;
  NumberRange range;
};
struct NameField {
  std::uint8_t* value;  ///< the enum, by its underlying type
  Names names;
};
struct IntListField {
  std::vector<int>* value;
  IntegerRange range;
  ListLength length;
};
struct SeedListField {
  std::vector<std::uint64_t>* value;
  ListLength length;
};
struct NumberListField {
  std::vector<double>* value;
  NumberRange range;
  ListLength length;
};

using FieldValue = std::variant<PathField, BooleanField, IntField, LongField, SeedField, NumberField, NameField,
                                IntListField, SeedListField, NumberListField>;

struct Field {
  std::string_view section;  ///< empty for a key that stands outside every section
  std::string_view key;
  FieldValue value;
  std::string_view doc;  ///< what it means, with its unit
  bool required = false;
  std::string_view since{};  ///< the version that brought the key; empty: the first one had it (see added())
  std::string_view
      as_before{};     ///< of a key with `since`: the value, as YAML, that means what was done without the key
  bool trains = true;  ///< false: other values train the same weights, whatever the section (see not_training())

  /// "section.key", as in messages and `--set`.
  std::string name() const;
};

/// A key that the first version did not have. `since` names the version that brings it, `as_before` the value with
/// which the program does what it did without the key, spelt as to_yaml writes it. A run folder that lacks the key was
/// written before it came and is read with that value, whatever the default; and with that value the key does not count
/// for the identity of an experiment, so that runs from before stay the same experiment.
Field added(std::string_view since, std::string_view as_before, Field field);

/// A key whose value says nothing about the weights, in a section whose other keys do: where the data lie, say.
Field not_training(Field field);

struct Section {
  std::string_view name, doc;
};

/// Every key in the order in which it is written; the references point into `config`.
std::vector<Field> describe(Config& config);

/// The sections in the order in which they are written.
std::span<const Section> sections();

/// Whether another value of the key trains other weights, so that it makes another experiment (experiment.hpp).
bool part_of_identity(const Field& field);

}  // namespace blocktrain::trainer
