#pragma once
/// The keys of architecture `dit` beside those that every architecture has.

#include <cstdint>
#include <span>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::blocks {

struct DitOptions {
  int patch = 2;               ///< side of a patch, in pixels
  std::int64_t mlp_ratio = 4;  ///< hidden width of the MLP over that of a token
  double label_dropout = 0.1;  ///< share of training labels replaced by "none"

  void describe(std::vector<Setting>& out);
  void check(std::span<const Setting> all, std::vector<Conflict>& out) const;
  bool operator==(const DitOptions&) const = default;
};

}  // namespace blocktrain::blocks
