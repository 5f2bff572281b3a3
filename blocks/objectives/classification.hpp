#pragma once
/// Objective `classification`: the class of a sample, by the cross-entropy of logits of the network's output F alone,
/// without noise: the end-to-end twin of `categorical`. The estimate is the logits.

#include <cstdint>
#include <memory>
#include <string_view>

#include "blocks/network_settings.hpp"
#include "blocks/objective.hpp"
#include "blocks/options.hpp"
#include "blocks/parameters.hpp"

namespace blocktrain::blocks {

struct ClassificationConfig {
  std::string_view target = "label";  ///< the field that names the class, one per sample; a literal
  std::int64_t width = 4;             ///< of a row of F
};

/// Registers the block's classifier. Throws InputError when the data have no such field.
std::unique_ptr<Objective> make_classification(const ClassificationConfig& config, const SampleLayout& layout,
                                               const BlockPlace& place, ParameterLayout& parameters);

/// The same for labels; has no keys.
std::unique_ptr<Objective> classification_from(const Options& own, const NetworkSettings& settings,
                                               const SampleLayout& layout, const BlockPlace& place,
                                               ParameterLayout& parameters);

}  // namespace blocktrain::blocks
