#pragma once
/// A setting: one key of a config, as the part of the program that reads it declares it beside the struct that holds
/// its value. It says the key's name, what it means and accepts, and refers to the value; whatever shows, reads, checks
/// or documents keys goes by it. How a config is written is not known here: that is for trainer/config/.
///
/// A struct of options declares its keys in `describe`, with the values that the struct starts with for defaults, and
/// may have conflicts between values in `check`:
///
///     struct Options {
///       double rate = 0.1;
///       void describe(std::vector<Setting>& out) { out.push_back({"model", "rate", number(rate, 0, 1), "..."}); }
///       void check(std::span<const Setting> all, std::vector<Conflict>& out) const;
///     };

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "kernels/names.hpp"

namespace blocktrain::blocks {

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

struct PathValue {
  std::string* value;
};
struct TextValue {  ///< any text, an empty one too
  std::string* value;
  std::size_t most;  ///< bytes
};
struct BooleanValue {
  bool* value;
};
struct IntValue {
  int* value;
  IntegerRange range;
};
struct LongValue {
  std::int64_t* value;
  IntegerRange range;
};
struct SeedValue {  ///< every unsigned 64-bit integer
  std::uint64_t* value;
};
struct NumberValue {
  double* value;
  NumberRange range;
};
struct NameValue {
  std::uint8_t* value;                      ///< an enum, by its underlying type
  std::span<const std::string_view> names;  ///< of its enumerators from 0
  std::uint64_t accepted;                   ///< bit i: enumerator i may be chosen

  bool accepts(std::size_t i) const { return i < names.size() && (accepted >> i & 1) != 0; }
};
struct ChoiceValue {  ///< one of a list of names that is not an enum
  std::string* value;
  std::vector<std::string_view> accepted;
};
struct IntListValue {
  std::vector<int>* value;
  IntegerRange range;
  ListLength length;
};
struct SeedListValue {
  std::vector<std::uint64_t>* value;
  ListLength length;
};
struct NumberListValue {
  std::vector<double>* value;
  NumberRange range;
  ListLength length;
};

using SettingValue = std::variant<PathValue, TextValue, BooleanValue, IntValue, LongValue, SeedValue, NumberValue,
                                  NameValue, ChoiceValue, IntListValue, SeedListValue, NumberListValue>;

struct Setting {
  std::string_view section;  ///< empty for a key that stands outside every section
  std::string_view key;
  SettingValue value;
  std::string_view meaning;  ///< with its unit
  bool required = false;
  std::string_view since{};  ///< the version that brought the key; empty: the first one had it (see added())
  std::string_view
      as_before{};     ///< of a key with `since`: the value, as YAML, that means what was done without the key
  bool trains = true;  ///< false: other values train the same weights, whatever the section (see not_training())

  /// "section.key", as in messages and `--set`.
  std::string name() const;
};

/// A key that the first version did not have. `since` names the version that brings it, `as_before` the value with
/// which the program does what it did without the key, spelt as a config spells it. A run folder that lacks the key was
/// written before it came and is read with that value, whatever the default; and with that value the key does not count
/// for the identity of an experiment, so that runs from before stay the same experiment.
Setting added(std::string_view since, std::string_view as_before, Setting setting);

/// A key whose value says nothing about the weights, in a section whose other keys do: where the data lie, say.
Setting not_training(Setting setting);

/// Another default of a key: "noise.overlap" is "0", spelt as a config spells it.
struct SettingDefault {
  std::string_view name, value;
};

/// Values that are fine one by one and wrong together.
struct Conflict {
  std::vector<std::string_view> keys;  ///< full names of the keys that disagree
  std::string text;                    ///< "found X; accepted: Y"
};

// ---- values -----------------------------------------------------------------------------------------------------

// Upper ends of ranges keep every product of sizes inside 64 bits and are far above any real experiment.
inline constexpr std::int64_t most_steps = std::numeric_limits<std::int32_t>::max();
inline constexpr std::int64_t most_samples = std::int64_t{1} << 24;

inline IntValue integer(int& value, std::int64_t lowest, std::int64_t highest) { return {&value, {lowest, highest}}; }
inline LongValue integer(std::int64_t& value, std::int64_t lowest, std::int64_t highest) {
  return {&value, {lowest, highest}};
}
inline NumberValue number(double& value, double lowest, double highest) { return {&value, {lowest, highest}}; }
/// From above `lowest`, itself not accepted.
inline NumberValue above(double& value, double lowest, double highest) {
  return {&value, {lowest, highest, true, false}};
}
/// To below `highest`, itself not accepted.
inline NumberValue below(double& value, double lowest, double highest) {
  return {&value, {lowest, highest, false, true}};
}

/// One of those enumerators; without any, one of all of them.
template <class Enum>
NameValue one_of(Enum& value, std::initializer_list<Enum> accepted = {}) {
  static_assert(std::is_same_v<std::underlying_type_t<Enum>, std::uint8_t> && names_of<Enum>.size() <= 64);
  std::uint64_t bits = accepted.size() == 0 ? ~std::uint64_t{0} : 0;
  for (const Enum e : accepted) bits |= std::uint64_t{1} << static_cast<unsigned>(e);
  return {reinterpret_cast<std::uint8_t*>(&value), names_of<Enum>, bits};
}

/// The setting of that full name; null where there is none.
const Setting* find_setting(std::span<const Setting> all, std::string_view name);

/// The value of the setting of that full name; null where there is none, as where another architecture has it.
/// Precondition: it is of that type.
template <class T>
const T* value_of(std::span<const Setting> all, std::string_view name) {
  const Setting* setting = find_setting(all, name);
  if (setting == nullptr) return nullptr;
  return std::visit(
      [&](const auto& v) -> const T* {
        if constexpr (std::is_same_v<decltype(v.value), T*>) {
          return v.value;
        } else {
          throw std::logic_error(std::string(name) + " is of another type");
        }
      },
      setting->value);
}

/// Shortest decimal form that reads back as the same double, in a spelling that YAML 1.1 readers (PyYAML) also take
/// for a number.
std::string shortest(double value);

}  // namespace blocktrain::blocks
