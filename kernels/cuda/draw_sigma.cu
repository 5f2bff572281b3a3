#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

__device__ double draw(const SigmaInterval& interval, double u) {
  if (interval.coordinate == SigmaCoordinate::sigma) return interval.lo + u * (interval.hi - interval.lo);
  if (interval.coordinate == SigmaCoordinate::log_sigma) {
    const double low = log(interval.lo);
    return exp(low + u * (log(interval.hi) - low));
  }
  // In the upper half the tail probability has the digits that the lower one has lost to rounding near 1.
  const double lower = interval.cdf_lo + u * (interval.cdf_hi - interval.cdf_lo);
  const double z = lower <= 0.5 ? normcdfinv(lower)
                                : -normcdfinv(interval.tail_hi + (1 - u) * (interval.tail_lo - interval.tail_hi));
  return exp(interval.p_mean + interval.p_std * z);
}

}  // namespace

void CudaBackend::draw_sigma(const Tensor& sigma, const SigmaInterval* interval, const RandomKey& key,
                             const StepState* state, std::uint32_t first_sample) {
  float* const out = pointer<float>(sigma);
  each(stream_, sigma.size(), [=] __device__(std::int64_t n) {
    const auto words = random_words(key, state->step, first_sample + static_cast<std::uint32_t>(n), 0);
    const bool exactly_hi = uniform_open(words[1]) < interval->at_hi_fraction;
    const double drawn = exactly_hi ? interval->hi : draw(*interval, uniform_open(words[0]));
    out[n] = static_cast<float>(fmin(fmax(drawn, interval->lo), interval->hi));
  });
}

}  // namespace blocktrain::kernels
