#pragma once
/// The keys that task `tokens` has for itself.

#include <span>
#include <vector>

#include "blocks/setting.hpp"
#include "trainer/tasks/tokens/token_data_options.hpp"

namespace blocktrain::trainer {

struct TokensOptions : TokenDataOptions {
  int draws = 4;  ///< eval: masks drawn per held-out window and block

  void describe(std::vector<blocks::Setting>& out) {
    TokenDataOptions::describe(out);
    out.push_back({"eval", "draws", blocks::integer(draws, 1, 1024),
                   "Masks drawn per held-out window and block for the bound on its likelihood."});
  }
  void check(std::span<const blocks::Setting> all, std::vector<blocks::Conflict>& out) const {
    TokenDataOptions::check(all, out);
  }
  bool operator==(const TokensOptions&) const = default;
};

}  // namespace blocktrain::trainer
