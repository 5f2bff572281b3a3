#include "trainer/support/units.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace blocktrain::trainer {

std::string bytes(double n) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t u = 0;
  while (std::abs(n) >= 1024 && u + 1 < units.size()) {
    n /= 1024;
    ++u;
  }
  return u == 0 ? fmt::format("{:.0f} B", n) : fmt::format("{:.2f} {}", n, units[u]);
}

std::string count(double n) {
  if (std::abs(n) < 10000) return fmt::format("{:.0f}", n);
  constexpr std::array units{"k", "M", "G", "T", "P", "E"};
  std::size_t u = 0;
  n /= 1000;
  while (std::abs(n) >= 1000 && u + 1 < units.size()) {
    n /= 1000;
    ++u;
  }
  return fmt::format("{:.2f}{}", n, units[u]);
}

std::string duration(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 5400) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

}  // namespace blocktrain::trainer
