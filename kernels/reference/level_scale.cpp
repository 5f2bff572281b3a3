#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;
namespace {

double factor_at(LevelFactor factor, double s, double sd) {
  switch (factor) {
    case LevelFactor::input:
      return 1 / std::sqrt(s * s + sd * sd);
    case LevelFactor::skip:
      return sd * sd / (s * s + sd * sd);
    case LevelFactor::output:
      return s * sd / std::sqrt(s * s + sd * sd);
    case LevelFactor::evidence:
      return 1 / (s * s);
  }
  BLOCKTRAIN_EXPECTS(!"a known LevelFactor");
  return 0;
}

}  // namespace

void ReferenceBackend::scale_by_level(const Tensor& out, const Tensor& x, const Tensor& sigma, LevelFactor factor,
                                      double sigma_data, bool accumulate) {
  for (Index n = 0; n < x.shape[0]; ++n) {
    const double by = factor_at(factor, at(sigma, n), sigma_data);
    for (Index e = 0; e < x.row_size(); ++e) at(out, n, e) = by * at(x, n, e) + (accumulate ? at(out, n, e) : 0);
  }
}

}  // namespace blocktrain::kernels
