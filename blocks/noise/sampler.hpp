#pragma once
/// Samplers: from noise at sigma_max to a continuous target, by a denoiser (method: section 1, inference). They know
/// the denoiser only as a function, so a whole network, one block, or a perfect denoiser in a test are all the same to
/// them.

#include <cstdint>
#include <functional>
#include <vector>

#include "blocks/batch.hpp"
#include "kernels/arena.hpp"
#include "kernels/names.hpp"
#include "kernels/ops.hpp"

namespace blocktrain::blocks {

enum class SamplerKind : std::uint8_t {
  euler,      ///< first order, one evaluation a step
  heun,       ///< second order, two evaluations a step but the last
  ancestral,  ///< adds fresh noise between steps, one evaluation a step
};
constexpr auto name_table(SamplerKind) { return names_up_to<SamplerKind::ancestral>("euler", "heun", "ancestral"); }

/// d = D(z; sigma, conditions) for a whole batch at one noise level.
using DenoiseFunction =
    std::function<void(const kernels::Tensor& d, const kernels::Tensor& z, double sigma, const Batch& conditions)>;

struct SamplerSettings {
  SamplerKind kind = SamplerKind::euler;
  std::uint64_t seed = 0;
  double target_deviation = 0.5;  ///< sd_y, deviation of the target per component: of the noise to start from
};

/// z += (next - sigma)/sigma * (z - d): the Euler step of the ODE, which takes a perfect denoiser's z = y + sigma*eps
/// to y + next*eps.
void euler_step(kernels::Ops& ops, const kernels::Tensor& z, const kernels::Tensor& d, double sigma, double next);

class Sampler {
 public:
  /// Takes memory for batches of up to `samples` samples, each of `shape`.
  void bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples, const std::vector<std::int64_t>& shape);

  /// Generates `samples` samples under the conditions of a batch of as many. `edges`: the levels sigma_max = edges[0] >
  /// ... > edges[n], n >= 1 steps (NoiseSchedule::sampling_edges); the denoiser is evaluated at edges[0..n-1] and its
  /// last estimate is the answer. Sample i is keyed by conditions.first_sample + i alone, whatever batch it is made in.
  /// The result [samples, ...] is valid until the next call.
  kernels::Tensor run(kernels::Ops& ops, const DenoiseFunction& denoise, const std::vector<double>& edges,
                      const Batch& conditions, std::int64_t samples, const SamplerSettings& settings);

 private:
  kernels::Tensor z_, d_, extra_, other_;
};

}  // namespace blocktrain::blocks
