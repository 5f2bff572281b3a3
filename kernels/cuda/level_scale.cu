#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/preconditioning.hpp"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// A block has a sample.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    scale_kernel(std::int64_t size, T* out, const float* x, const float* sigma, LevelFactor factor, double sigma_data,
                 bool accumulate) {
  const std::int64_t n = blockIdx.x;
  const float by = static_cast<float>(level_factor(factor, sigma[n], sigma_data));
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
