#include "trainer/config/problems.hpp"

#include <algorithm>

namespace blocktrain::trainer {
namespace {

constexpr std::size_t kMostProblemsShown = 10;

}  // namespace

bool Problems::shown_in_full(const Origin& origin) const {
  const auto known = problems_per_source_.find(origin.order);
  return known == problems_per_source_.end() || known->second < kMostProblemsShown;
}

void Problems::add(const Origin& origin, const std::string& key, const std::string& text) {
  const bool show = shown_in_full(origin);
  ++problems_per_source_[origin.order];
  ++count_;
  if (show)
    problems_.push_back({origin.order, origin.line, origin.place + ": " + (key.empty() ? "" : key + ": ") + text});
}

std::string Problems::report() {
  std::stable_sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
    return a.order != b.order ? a.order < b.order : a.line < b.line;
  });
  const std::size_t shown = std::min(problems_.size(), kMostProblemsShown);
  std::string text;
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : "\n") + problems_[i].text;
  if (count_ > shown) text += "\nand " + std::to_string(count_ - shown) + " more";
  return text;
}

}  // namespace blocktrain::trainer
