#pragma once
/// A small network of `masked` with its objective, for tests on any device.

#include <memory>
#include <string>
#include <vector>

#include "blocks/architectures/masked.hpp"
#include "blocks/noise/mask_levels.hpp"
#include "blocks/objectives/masked.hpp"
#include "blocks/parameters.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks::test {

/// The smallest network in which nothing is square, single or a power of two by accident.
inline MaskedConfig small_masked_config() {
  MaskedConfig c;
  c.context = 9;
  c.mlp_ratio = 2;
  c.width = 12;
  c.heads = 3;
  c.noise_features = 10;
  return c;
}

inline SampleLayout token_layout(std::int64_t tokens, std::int64_t classes) {
  return {{{"tokens", kernels::DType::int32, {tokens}}}, tokens, classes};
}

/// Logits of `rows` masked tokens exist together; 0: as many as rows run through the layers.
inline std::unique_ptr<Block> masked_block(const MaskedConfig& config, const BlockPlace& place,
                                           std::int64_t classes = 7, std::int64_t rows = 0) {
  const SampleLayout layout = token_layout(config.context, classes);
  ParameterLayout parameters;
  auto network = make_masked(config, layout, place, parameters);
  auto objective =
      make_masked_tokens({"tokens", config.width, rows > 0 ? rows : config.rows_at_once}, layout, place, parameters);
  return std::make_unique<Block>(place, std::move(network), std::move(objective), std::move(parameters));
}

/// Tokens by name, all of them there.
inline std::vector<double> some_tokens(std::int64_t count, std::int64_t classes) {
  std::vector<double> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<double>((7 * i + 3 + i / 5) % static_cast<std::size_t>(classes));
  }
  return out;
}

/// What a block at `place` draws from.
inline kernels::SigmaInterval mask_interval(std::int64_t tokens, const BlockPlace& place) {
  const MaskCounts counts = mask_counts(tokens, place.index, place.count);
  kernels::SigmaInterval s;
  s.lo = static_cast<double>(counts.lo) / static_cast<double>(tokens);
  s.hi = static_cast<double>(counts.most()) / static_cast<double>(tokens);
  return s;
}

}  // namespace blocktrain::blocks::test
