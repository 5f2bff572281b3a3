#pragma once
/// Keys that more than one architecture has: declared here once, named in the options of each. A range or a default
/// that differs is an argument or stands in the struct.

#include <cstdint>
#include <span>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::blocks {

/// model.patch: images as tokens.
Setting patch_setting(int& patch);
/// The patch has to divide an image whose shape is declared (data.shape).
void check_patch(int patch, std::span<const Setting> all, std::vector<Conflict>& out);

/// model.mlp_ratio.
Setting mlp_ratio_setting(std::int64_t& ratio);

/// model.dropout.
Setting dropout_setting(double& dropout);

/// model.context: tokens of a text that a network sees at a time.
Setting context_setting(std::int64_t& context);

}  // namespace blocktrain::blocks
