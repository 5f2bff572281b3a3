#pragma once
/// What follows from a noise level (EDM, Karras et al. 2022; method: section 1, preconditioning; section 6, analytic
/// evidence), for the ops of every device. In double: squares of the smallest sigma lose digits in float32. The
/// reference (kernels/reference/) has formulas of its own.

#include <cmath>

#include "kernels/op_types.hpp"
#include "kernels/random.hpp"

namespace blocktrain::kernels {

/// s is sigma, sd sigma_data.
struct Preconditioning {
  double c_in, c_skip, c_out;
  double weight;  ///< of the squared error of D: c_out^2 * weight = 1
  BLOCKTRAIN_HOST_DEVICE Preconditioning(double s, double sd) {
    const double square_sum = s * s + sd * sd, root = std::sqrt(square_sum);
    c_in = 1 / root;
    c_skip = sd * sd / square_sum;
    c_out = s * sd / root;
    weight = 1 / (c_out * c_out);
  }
};

BLOCKTRAIN_HOST_DEVICE inline double level_factor(LevelFactor factor, double s, double sd) {
  if (factor == LevelFactor::evidence) return 1 / (s * s);
  const Preconditioning p(s, sd);
  return factor == LevelFactor::input ? p.c_in : factor == LevelFactor::skip ? p.c_skip : p.c_out;
}

}  // namespace blocktrain::kernels
