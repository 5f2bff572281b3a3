#include "comm/wording.hpp"

#include <algorithm>
#include <cstdio>

#include "kernels/error.hpp"

namespace blocktrain::comm {

std::string seconds_text(std::chrono::milliseconds time) {
  char text[48];
  std::snprintf(text, sizeof text, "%g s", static_cast<double>(time.count()) / 1000.0);
  return text;
}

std::string ranks_text(const std::vector<int>& ranks) {
  constexpr std::size_t named = 16;
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < std::min(named, ranks.size()); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(ranks[i]);
  }
  if (ranks.size() > named) text += " and " + std::to_string(ranks.size() - named) + " more";
  return text;
}

std::string member_text(int rank, int size) {
  const std::string member = std::to_string(rank) + " of " + std::to_string(size);
  if (process_rank() < 0) return "rank " + member;
  return "rank " + std::to_string(process_rank()) + " (" + member + " in its group)";
}

std::string missing_text(const std::vector<int>& missing, int size, const char* call,
                         std::chrono::milliseconds deadline) {
  return ranks_text(missing) + " of " + std::to_string(size) + " did not join " + call + " within " +
         seconds_text(deadline) + "; " + (missing.size() == 1 ? "it" : "they") + " may be dead, stuck or overloaded";
}

}  // namespace blocktrain::comm
