#include "blocks/noise/sampler.hpp"

#include <cmath>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Purpose;
using kernels::RandomKey;
using kernels::Tensor;

namespace {

/// Heun's second slope is taken where the Euler step lands; the step then follows the mean of both:
/// z += (next - sigma) * ((z - d)/sigma + (z' - d')/next) / 2, with z' and d' of the landing point.
void heun_step(Ops& ops, const Tensor& z, const Tensor& d, const Tensor& landing, const Tensor& d_landing, double sigma,
               double next) {
  const double first = (next - sigma) / (2 * sigma), second = (next - sigma) / (2 * next);
  ops.axpby(d, -first, d, -second, d_landing);
  ops.axpby(z, 1 + first, z, second, landing);
  ops.axpby(z, 1, z, 1, d);
}

/// z <- d + (next/sigma)^2 (z - d) + next sqrt(1 - (next/sigma)^2) n.
void ancestral_step(Ops& ops, const Tensor& z, const Tensor& d, const Tensor& noise, double sigma, double next) {
  const double kept = (next / sigma) * (next / sigma);
  ops.axpby(z, kept, z, 1 - kept, d);
  ops.axpby(z, 1, z, next * std::sqrt(1 - kept), noise);
}

}  // namespace

void euler_step(Ops& ops, const Tensor& z, const Tensor& d, double sigma, double next) {
  const double kept = next / sigma;
  ops.axpby(z, kept, z, 1 - kept, d);
}

void Sampler::bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples,
                   const std::vector<std::int64_t>& shape) {
  for (Tensor* t : {&z_, &d_, &extra_, &other_}) *t = allocate_samples(arena, kernels::precise(dtype), samples, shape);
}

Tensor Sampler::run(Ops& ops, const DenoiseFunction& denoise, const std::vector<double>& edges, const Batch& conditions,
                    std::int64_t samples, const SamplerSettings& settings) {
  BLOCKTRAIN_EXPECTS(!z_.empty() && samples <= z_.dim(0) && edges.size() >= 2);
  const Tensor z = z_.rows(0, samples), d = d_.rows(0, samples);
  const Tensor extra = extra_.rows(0, samples), other = other_.rows(0, samples);

  ops.random_normal(sample_rows(z), RandomKey{settings.seed, Purpose::sampling, 0}, 0, conditions.first_sample);
  ops.axpby(z, std::hypot(settings.target_deviation, edges.front()), z, 0, z);

  for (std::size_t step = 0; step + 2 < edges.size(); ++step) {
    const double sigma = edges[step], next = edges[step + 1];
    denoise(d, z, sigma, conditions);
    switch (settings.kind) {
      case SamplerKind::euler:
        euler_step(ops, z, d, sigma, next);
        break;
      case SamplerKind::heun:
        ops.copy(extra, z);
        euler_step(ops, extra, d, sigma, next);
        denoise(other, extra, next, conditions);
        heun_step(ops, z, d, extra, other, sigma, next);
        break;
      case SamplerKind::ancestral:
        ops.random_normal(sample_rows(extra), RandomKey{settings.seed, Purpose::ancestral, 0},
                          static_cast<std::uint32_t>(step), conditions.first_sample);
        ancestral_step(ops, z, d, extra, sigma, next);
        break;
    }
  }
  // No step follows the last estimate: stepping on to sigma_min would only put noise back.
  denoise(d, z, edges[edges.size() - 2], conditions);
  return d;
}

}  // namespace blocktrain::blocks
