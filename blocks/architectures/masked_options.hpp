#pragma once
/// The keys of architecture `masked` beside those that every architecture has.

#include <cstdint>
#include <span>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::blocks {

struct MaskedOptions {
  std::int64_t context = 256;  ///< T, tokens of a sample
  std::int64_t mlp_ratio = 4;  ///< hidden width of the MLP over that of a token
  double dropout = 0;          ///< of embeddings and of what attention and MLP add

  void describe(std::vector<Setting>& out);
  bool operator==(const MaskedOptions&) const = default;
};

}  // namespace blocktrain::blocks
