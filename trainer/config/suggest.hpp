#pragma once
/// "Did you mean": the nearest of a set of names.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "kernels/names.hpp"
#include "trainer/config/describe.hpp"

namespace blocktrain::trainer {

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (the first 64 bytes of each).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `word`, or empty when none is near enough to be a misspelling of it.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// Throws InputError: `text` was given to `option`, which takes one of `names`.
[[noreturn]] void refuse_name(std::string_view option, std::string_view text, std::span<const std::string_view> names);

/// The enumerator that `text`, given to `option`, is the name of. Throws InputError naming all of them.
template <class E>
E option_named(std::string_view option, std::string_view text) {
  const auto found = value_named<E>(text);
  if (!found) refuse_name(option, text, names_of<E>);
  return *found;
}

/// For an unknown `key` of `section` (empty: outside every section): "did you mean model.layers?" when a key or section
/// is near or the same key stands in another section; empty otherwise.
std::string suggest_key(std::string_view section, std::string_view key, std::span<const Setting> settings);

}  // namespace blocktrain::trainer
