#include "blocks/architectures/vit_options.hpp"

#include "blocks/shared_settings.hpp"

namespace blocktrain::blocks {

void VitOptions::describe(std::vector<Setting>& out) {
  out.push_back(patch_setting(patch));
  out.push_back(mlp_ratio_setting(mlp_ratio));
  out.push_back(dropout_setting(dropout));
}

void VitOptions::check(std::span<const Setting> all, std::vector<Conflict>& out) const { check_patch(patch, all, out); }

}  // namespace blocktrain::blocks
