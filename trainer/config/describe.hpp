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

  /// "section.key", as in messages and `--set`.
  std::string name() const;
};

struct Section {
  std::string_view name, doc;
};

/// Every key in the order in which it is written; the references point into `config`.
std::vector<Field> describe(Config& config);

/// The sections in the order in which they are written.
std::span<const Section> sections();

/// Sections that do not change what is trained (see experiment_identity).
bool part_of_identity(std::string_view section);

}  // namespace blocktrain::trainer
