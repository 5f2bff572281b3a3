#include <cmath>
#include <numbers>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;
namespace {

/// Standard normal number `element` of `sample` at `step`, by Box-Muller from its pair of words.
double normal(const RandomKey& key, std::uint32_t step, std::uint32_t sample, Index element) {
  const auto words = random_words(key, step, sample, static_cast<std::uint32_t>(element / 4));
  const std::size_t pair = element % 4 < 2 ? 0 : 2;
  const double radius = std::sqrt(-2 * std::log(uniform_open(words[pair])));
  const double angle = 2 * std::numbers::pi * uniform_open(words[pair + 1]);
  return element % 2 == 0 ? radius * std::cos(angle) : radius * std::sin(angle);
}

}  // namespace

void ReferenceBackend::random_normal(const Tensor& out, const RandomKey& key, std::uint32_t step,
                                     std::uint32_t first_sample) {
  for (Index n = 0; n < out.shape[0]; ++n) {
    const std::uint32_t sample = first_sample + static_cast<std::uint32_t>(n);
    for (Index e = 0; e < out.row_size(); ++e) at(out, n, e) = normal(key, step, sample, e);
  }
}

void ReferenceBackend::add_noise(const Tensor& z, const Tensor& y, const Tensor& sigma, const RandomKey& key,
                                 const StepState* state, std::uint32_t first_sample) {
  for (Index n = 0; n < z.shape[0]; ++n) {
    const std::uint32_t sample = first_sample + static_cast<std::uint32_t>(n);
    for (Index e = 0; e < z.row_size(); ++e) {
      at(z, n, e) = at(y, n, e) + at(sigma, n) * normal(key, state->step, sample, e);
    }
  }
}

void ReferenceBackend::drop_labels(const Tensor& out, const Tensor& in, std::int32_t null_label, double p,
                                   const RandomKey& key, const StepState* state, std::uint32_t first_sample) {
  const std::uint32_t step = state == nullptr ? 0 : state->step;
  for (Index n = 0; n < in.size(); ++n) {
    const auto words = random_words(key, step, first_sample + static_cast<std::uint32_t>(n), 0);
    out.as<std::int32_t>()[n] =
        in.as<std::int32_t>()[n] < 0 || uniform_open(words[0]) < p ? null_label : in.as<std::int32_t>()[n];
  }
}

}  // namespace blocktrain::kernels
