// The denoised estimate and its loss (method: section 1, preconditioning and weight). A block has a sample.
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/preconditioning.hpp"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

__global__ void __launch_bounds__(threads_per_block)
    denoised_kernel(std::int64_t size, float* d, const float* z, const float* f, const float* sigma,
                    double sigma_data) {
  const std::int64_t n = blockIdx.x;
  const Preconditioning p(sigma[n], sigma_data);
  const float skip = static_cast<float>(p.c_skip), scale = static_cast<float>(p.c_out);
  for (std::int64_t i = n * size + threadIdx.x; i < (n + 1) * size; i += threads_per_block) {
    d[i] = skip * z[i] + scale * f[i];
  }
}

__global__ void __launch_bounds__(threads_per_block)
    loss_kernel(std::int64_t size, float* loss, float* mse, float* df, const float* z, const float* y, const float* f,
                const float* sigma, double sigma_data, bool weighted, double loss_scale) {
  __shared__ double scratch[warps_per_block];
  const std::int64_t n = blockIdx.x;
  const Preconditioning p(sigma[n], sigma_data);
  const double weight = weighted ? p.weight : 1.0;
  const float skip = static_cast<float>(p.c_skip), scale = static_cast<float>(p.c_out);
  const float gradient = static_cast<float>(loss_scale * weight * p.c_out * 2 / static_cast<double>(size));
  double squares = 0;
  for (std::int64_t i = n * size + threadIdx.x; i < (n + 1) * size; i += threads_per_block) {
    const float difference = skip * z[i] + scale * f[i] - y[i];
    squares += static_cast<double>(difference * difference);
    if (df != nullptr) df[i] = gradient * difference;
  }
  const double sum = block_sum(squares, scratch);
  if (threadIdx.x == 0) {
    const double mean = sum / static_cast<double>(size);
    mse[n] = static_cast<float>(mean);
    loss[n] = static_cast<float>(weight * mean);
  }
}

/// One block, each thread a fixed share of the samples.
__global__ void __launch_bounds__(threads_per_block)
    add_losses_kernel(std::int64_t samples, const float* loss, const float* mse, StepState* state) {
  __shared__ double scratch[warps_per_block];
  double losses = 0, errors = 0;
  for (std::int64_t n = threadIdx.x; n < samples; n += threads_per_block) {
    losses += static_cast<double>(loss[n]);
    errors += static_cast<double>(mse[n]);
  }
  losses = block_sum(losses, scratch);
  errors = block_sum(errors, scratch);
  if (threadIdx.x == 0) {
    state->loss_sum += losses;
    state->mse_sum += errors;
  }
}

}  // namespace

void CudaBackend::add_losses(StepState* state, const Tensor& loss, const Tensor& mse) {
  launch({stream_, 1}, add_losses_kernel, loss.size(), pointer<float>(loss), pointer<float>(mse), state);
}

void CudaBackend::denoised(const Tensor& d, const Tensor& z, const Tensor& f, const Tensor& sigma, double sigma_data) {
  const std::int64_t samples = z.dim(0);
  if (z.size() == 0) return;
  launch({stream_, static_cast<unsigned>(samples)}, denoised_kernel, z.row_size(), pointer<float>(d), pointer<float>(z),
         pointer<float>(f), pointer<float>(sigma), sigma_data);
}

void CudaBackend::denoise_loss(const Tensor& loss, const Tensor& mse, const Tensor& df, const Tensor& z,
                               const Tensor& y, const Tensor& f, const Tensor& sigma, double sigma_data,
                               LossWeighting weighting, double loss_scale) {
  const std::int64_t samples = z.dim(0);
  if (z.size() == 0) return;
  launch({stream_, static_cast<unsigned>(samples)}, loss_kernel, z.row_size(), pointer<float>(loss),
         pointer<float>(mse), pointer_or_null<float>(df), pointer<float>(z), pointer<float>(y), pointer<float>(f),
         pointer<float>(sigma), sigma_data, weighting == LossWeighting::edm, loss_scale);
}

}  // namespace blocktrain::kernels
