#pragma once
/// Objective `categorical`: the target is a class, and what is denoised is its row of a table E of unit rows, z =
/// E[class]
/// + sigma*eps; the loss is the cross-entropy of logits made of the network's output F and z (method: section 1,
/// discrete targets; section 6, analytic evidence). F has the width of a row. The estimate is the logits, and what
/// samplers step by the expected row, softmax(logits) E.

#include <memory>
#include <string_view>

#include "blocks/network_settings.hpp"
#include "blocks/objective.hpp"
#include "blocks/objectives/categorical_options.hpp"
#include "blocks/options.hpp"
#include "blocks/parameters.hpp"

namespace blocktrain::blocks {

struct CategoricalConfig {
  std::string_view target = "label";  ///< the field that names the class, one per sample; a literal
  std::int64_t width = 4;             ///< d, of a row of E
  double sigma_data = 0.5;            ///< for c_skip and c_out of learned evidence
  Evidence evidence = Evidence::analytic;
  bool trains_table = false;  ///< whether E is trained, or stays as it starts
};

/// Registers target_embedding.table [classes, width], which is shared by all blocks, and the block's classifier. Throws
/// InputError when the data have no such field.
std::unique_ptr<Objective> make_categorical(const CategoricalConfig& config, const SampleLayout& layout,
                                            const BlockPlace& place, ParameterLayout& parameters);

/// The same for labels, from its keys (CategoricalOptions).
std::unique_ptr<Objective> categorical_from(const Options& own, const NetworkSettings& settings,
                                            const SampleLayout& layout, const BlockPlace& place,
                                            ParameterLayout& parameters);

}  // namespace blocktrain::blocks
