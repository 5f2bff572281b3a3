#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;
namespace {

/// Calls visit(token element, pixel) for every pixel of sample n.
template <class Visit>
void for_each_pixel(const Tensor& tokens, const Tensor& image, int patch, Index n, Visit visit) {
  const Index across = image.shape[3] / patch;
  for (Index c = 0; c < image.shape[1]; ++c) {
    for (Index row = 0; row < image.shape[2]; ++row) {
      for (Index column = 0; column < image.shape[3]; ++column) {
        const Index token = row / patch * across + column / patch;
        const Index place = (c * patch + row % patch) * patch + column % patch;
        visit(at(tokens, n, token, place), at(image, n, c, row, column));
      }
    }
  }
}

}  // namespace

void ReferenceBackend::patchify(const Tensor& tokens, const Tensor& image, int patch, const Tensor& sigma,
                                double sigma_data) {
  for (Index n = 0; n < image.shape[0]; ++n) {
    const double c_in = sigma.empty() ? 1.0 : 1 / std::sqrt(at(sigma, n) * at(sigma, n) + sigma_data * sigma_data);
    for_each_pixel(tokens, image, patch, n, [&](double& element, double& pixel) { element = c_in * pixel; });
  }
}

void ReferenceBackend::unpatchify(const Tensor& image, const Tensor& tokens, int patch) {
  for (Index n = 0; n < image.shape[0]; ++n) {
    for_each_pixel(tokens, image, patch, n, [&](double& element, double& pixel) { pixel = element; });
  }
}

}  // namespace blocktrain::kernels
