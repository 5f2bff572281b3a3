#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// In double: squares of the smallest sigma lose digits in float32.
__device__ double factor_at(LevelFactor factor, double sigma, double sigma_data) {
  const double square_sum = sigma * sigma + sigma_data * sigma_data;
  if (factor == LevelFactor::input) return 1 / sqrt(square_sum);
  if (factor == LevelFactor::skip) return sigma_data * sigma_data / square_sum;
  if (factor == LevelFactor::output) return sigma * sigma_data / sqrt(square_sum);
  return 1 / (sigma * sigma);
}

/// A block has a sample.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    scale_kernel(std::int64_t size, T* out, const float* x, const float* sigma, LevelFactor factor, double sigma_data,
                 bool accumulate) {
  const std::int64_t n = blockIdx.x;
  const float by = static_cast<float>(factor_at(factor, sigma[n], sigma_data));
  for (std::int64_t i = n * size + threadIdx.x; i < (n + 1) * size; i += threads_per_block) {
    out[i] = from_float<T>(by * x[i] + (accumulate ? to_float(out[i]) : 0.0f));
  }
}

}  // namespace

void CudaBackend::scale_by_level(const Tensor& out, const Tensor& x, const Tensor& sigma, LevelFactor factor,
                                 double sigma_data, bool accumulate) {
  const std::int64_t samples = x.dim(0);
  if (x.size() == 0) return;
  with_stored_type(out.dtype, [&](auto type) {
    using T = decltype(type);
    launch({stream_, static_cast<unsigned>(samples)}, scale_kernel<T>, x.row_size(), pointer<T>(out), pointer<float>(x),
           pointer<float>(sigma), factor, sigma_data, accumulate);
  });
}

}  // namespace blocktrain::kernels
