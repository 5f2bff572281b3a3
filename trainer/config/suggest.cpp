#include "trainer/config/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {
namespace {

std::string question(const std::string& name) { return "did you mean " + name + "?"; }

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  constexpr std::size_t kLongest = 64;
  a = a.substr(0, kLongest);
  b = b.substr(0, kLongest);
  std::array<std::array<std::size_t, kLongest + 1>, kLongest + 1> d{};
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view best;
  std::size_t best_distance = 0;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    // A third of the characters may differ: more would suggest words that only look alike by chance.
    if (distance > std::max<std::size_t>(1, candidate.size() / 3)) continue;
    if (best.empty() || distance < best_distance) best = candidate, best_distance = distance;
  }
  return best;
}

void refuse_name(std::string_view option, std::string_view text, std::span<const std::string_view> names) {
  const std::string_view near = nearest(text, names);
  throw InputError(fmt::format("{}: found '{}'; accepted: {}{}", option, text, join(names),
                               near.empty() ? std::string() : fmt::format(" (did you mean {}?)", near)));
}

std::string suggest_key(std::string_view section, std::string_view key, std::span<const Setting> settings) {
  std::vector<std::string_view> here, anywhere;
  for (const Setting& setting : settings) {
    if (setting.section == section) here.push_back(setting.key);
    anywhere.push_back(setting.key);
  }
  if (section.empty()) {
    for (const Section& s : sections()) here.push_back(s.name);
    here.push_back("extends");
  }
  const auto full = [&](std::string_view k) {
    return section.empty() ? std::string(k) : std::string(section) + "." + std::string(k);
  };
  const auto by_key = [&](std::string_view k) {
    const auto found = std::find_if(settings.begin(), settings.end(), [&](const Setting& s) { return s.key == k; });
    return found == settings.end() ? "" : question(found->name());
  };
  // The very word in another section says more than one that looks like it in this.
  if (const std::string other = by_key(key); !other.empty()) return other;
  if (const std::string_view k = nearest(key, here); !k.empty()) return question(full(k));
  if (const std::string_view k = nearest(key, anywhere); !k.empty()) return by_key(k);
  // "model.layers: 3" in one line: the key exists, but YAML nests with indentation.
  const auto same = std::find_if(settings.begin(), settings.end(), [&](const Setting& s) { return s.name() == key; });
  if (same != settings.end() && !same->section.empty()) {
    return "write `" + std::string(same->key) + ":` on a line of its own under `" + std::string(same->section) + ":`";
  }
  return "";
}

}  // namespace blocktrain::trainer
