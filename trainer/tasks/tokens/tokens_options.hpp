#pragma once
/// The keys that task `tokens` has for itself.

#include <span>
#include <vector>

#include "blocks/setting.hpp"
#include "trainer/tasks/tokens/token_data_options.hpp"

namespace blocktrain::trainer {

struct TokensOptions : TokenDataOptions {
  void describe(std::vector<blocks::Setting>& out) { TokenDataOptions::describe(out); }
  void check(std::span<const blocks::Setting> all, std::vector<blocks::Conflict>& out) const {
    TokenDataOptions::check(all, out);
  }
  bool operator==(const TokensOptions&) const = default;
};

}  // namespace blocktrain::trainer
