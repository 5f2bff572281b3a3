#pragma once
/// The keys of architecture `vit` beside those that every architecture has.

#include <cstdint>
#include <span>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::blocks {

struct VitOptions {
  int patch = 4;               ///< side of a patch, in pixels
  std::int64_t mlp_ratio = 4;  ///< hidden width of the MLP over that of a token
  double dropout = 0.1;        ///< of embeddings and of what attention and MLP add

  void describe(std::vector<Setting>& out);
  void check(std::span<const Setting> all, std::vector<Conflict>& out) const;
  bool operator==(const VitOptions&) const = default;
};

}  // namespace blocktrain::blocks
