#pragma once
/// The keys of objective `gaussian`: continuous targets under Gaussian noise, a weighted squared error.

#include <vector>

#include "blocks/setting.hpp"
#include "kernels/op_types.hpp"

namespace blocktrain::blocks {

struct GaussianOptions {
  kernels::LossWeighting weighting = kernels::LossWeighting::edm;

  void describe(std::vector<Setting>& out);
  bool operator==(const GaussianOptions&) const = default;
};

}  // namespace blocktrain::blocks
