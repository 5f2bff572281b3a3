#pragma once
/// Step rows of a ledger with what their change rows say, as docs/ledger.md has it: for tests of what a step was and
/// cost.

#include <map>
#include <nlohmann/json.hpp>
#include <vector>

namespace blocktrain::test {

/// `rows` of a ledger of version 2.x, in the order of the file. Throws when a step row has no change row.
inline std::vector<nlohmann::json> whole_steps(const std::vector<nlohmann::json>& rows) {
  std::map<int, nlohmann::json> changes;
  std::vector<nlohmann::json> whole;
  for (const nlohmann::json& row : rows) {
    if (row.at("type") == "run_start") changes.clear();
    if (row.at("type") == "change") changes[row.at("block").get<int>()] = row;
    if (row.at("type") != "step") continue;
    nlohmann::json step = changes.at(row.at("block").get<int>());
    step.update(row, true);
    whole.push_back(std::move(step));
  }
  return whole;
}

}  // namespace blocktrain::test
