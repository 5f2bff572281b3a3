#pragma once
/// Objective `masked`: tokens some of which are masked, found again by the cross-entropy of their logits (method:
/// section 6, exact masked objective). Of T tokens m are masked, for a level m/T; block b draws m from (lo, lo + K_b],
/// stratified over the global batch. The loss of a sample is the mean over its masked tokens, so its mean over all m is
/// the bound of the likelihood of a sample, per token. F is [N,T,C]; logits are made of the masked rows alone, a piece
/// of them at a time. The estimate is the logits of all positions. Samplers unmask by it: there is no denoised target.

#include <cstdint>
#include <memory>
#include <string_view>

#include "blocks/network_settings.hpp"
#include "blocks/objective.hpp"
#include "blocks/options.hpp"
#include "blocks/parameters.hpp"

namespace blocktrain::blocks {

struct MaskedTokensConfig {
  std::string_view target = "tokens";  ///< the field that is masked, int32 [T]; a literal
  std::int64_t width = 4;              ///< C, of a row of F
  std::int64_t rows_at_once = 2048;    ///< rows whose logits exist together
};

/// Registers the block's head [classes, width]. Throws InputError when the data have no such tokens, or there are more
/// blocks than tokens.
std::unique_ptr<Objective> make_masked_tokens(const MaskedTokensConfig& config, const SampleLayout& layout,
                                              const BlockPlace& place, ParameterLayout& parameters);

/// The same for text; has no keys.
std::unique_ptr<Objective> masked_tokens_from(const Options& own, const NetworkSettings& settings,
                                              const SampleLayout& layout, const BlockPlace& place,
                                              ParameterLayout& parameters);

}  // namespace blocktrain::blocks
