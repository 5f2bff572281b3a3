#include "blocks/setting.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace blocktrain::blocks {

std::string Setting::name() const {
  return section.empty() ? std::string(key) : std::string(section) + "." + std::string(key);
}

Setting added(std::string_view since, std::string_view as_before, Setting setting) {
  setting.since = since;
  setting.as_before = as_before;
  return setting;
}

Setting not_training(Setting setting) {
  setting.trains = false;
  return setting;
}

const Setting* find_setting(std::span<const Setting> all, std::string_view name) {
  const auto found = std::find_if(all.begin(), all.end(), [name](const Setting& s) { return s.name() == name; });
  return found == all.end() ? nullptr : &*found;
}

std::string shortest(double value) {
  std::array<char, 40> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string s(buffer.data(), end);
  const std::size_t exponent = s.find('e');
  if (exponent != std::string::npos && s.find('.') == std::string::npos) s.insert(exponent, ".0");
  return s;
}

}  // namespace blocktrain::blocks
