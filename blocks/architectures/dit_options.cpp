#include "blocks/architectures/dit_options.hpp"

#include "blocks/shared_settings.hpp"

namespace blocktrain::blocks {

void DitOptions::describe(std::vector<Setting>& out) {
  out.push_back(patch_setting(patch));
  out.push_back(mlp_ratio_setting(mlp_ratio));
  out.push_back({"model", "label_dropout", below(label_dropout, 0, 1),
                 "Share of labels replaced by \"none\" in training, so that guidance is possible."});
}

void DitOptions::check(std::span<const Setting> all, std::vector<Conflict>& out) const { check_patch(patch, all, out); }

}  // namespace blocktrain::blocks
