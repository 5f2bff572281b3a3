#include "blocks/architectures/vit_options.hpp"

#include "blocks/shared_settings.hpp"

namespace blocktrain::blocks {

void VitOptions::describe(std::vector<Setting>& out) {
  out.push_back(patch_setting(patch));
  out.push_back(mlp_ratio_setting(mlp_ratio));
  out.push_back({"model", "dropout", below(dropout, 0, 1),
                 "Share of numbers that are dropped in training, of the embeddings and of what every attention and MLP "
                 "adds."});
}

void VitOptions::check(std::span<const Setting> all, std::vector<Conflict>& out) const { check_patch(patch, all, out); }

}  // namespace blocktrain::blocks
