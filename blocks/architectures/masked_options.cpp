#include "blocks/architectures/masked_options.hpp"

#include "blocks/shared_settings.hpp"

namespace blocktrain::blocks {

void MaskedOptions::describe(std::vector<Setting>& out) {
  out.push_back(context_setting(context));
  out.push_back(mlp_ratio_setting(mlp_ratio));
  out.push_back(dropout_setting(dropout));
}

}  // namespace blocktrain::blocks
