#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;

void ReferenceBackend::rotary(const Tensor& out, const Tensor& x, const Tensor& angles, bool inverse) {
  const Index tokens = angles.shape[0], width = angles.shape[1], half = width / 2;
  const Index samples = samples_of(x, tokens);
  const TokenStrides from = token_strides(x, samples), to = token_strides(out, samples);
  for (Index n = 0; n < samples; ++n) {
    for (Index t = 0; t < tokens; ++t) {
      for (Index head = 0; head < token_width(x) / width; ++head) {
        const double* in = x.as<double>() + n * from.sample + t * from.token + head * width;
        double* result = out.as<double>() + n * to.sample + t * to.token + head * width;
        for (Index i = 0; i < half; ++i) {
          const double cosine = at(angles, t, i), sine = (inverse ? -1 : 1) * at(angles, t, half + i);
          const double first = in[i], second = in[half + i];
          result[i] = first * cosine - second * sine;
          result[half + i] = second * cosine + first * sine;
        }
      }
    }
  }
}

}  // namespace blocktrain::kernels
