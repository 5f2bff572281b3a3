#include "blocks/objectives/gaussian_options.hpp"

namespace blocktrain::blocks {

void GaussianOptions::describe(std::vector<Setting>& out) {
  out.push_back({"objective", "weighting", one_of(weighting),
                 "Weight of a sample's loss: edm, (sigma^2 + sigma_data^2)/(sigma sigma_data)^2, or none."});
}

}  // namespace blocktrain::blocks
