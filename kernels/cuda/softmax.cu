#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// A warp has a row; each lane reads and writes the same numbers of it.
__global__ void __launch_bounds__(threads_per_block)
    softmax_kernel(std::int64_t samples, std::int64_t classes, float* p, const float* logits) {
  const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (n >= samples) return;
  const int lane = threadIdx.x % warp_size;
  const float* const row = logits + n * classes;
  float* const to = p + n * classes;
  float largest = -INFINITY;
  for (std::int64_t v = lane; v < classes; v += warp_size) largest = fmaxf(largest, row[v]);
  largest = warp_max(largest);
  float sum = 0;
  for (std::int64_t v = lane; v < classes; v += warp_size) {
    to[v] = expf(row[v] - largest);
    sum += to[v];
  }
  const float by = 1 / warp_sum(sum);
  for (std::int64_t v = lane; v < classes; v += warp_size) to[v] *= by;
}

}  // namespace

void CudaBackend::softmax(const Tensor& p, const Tensor& logits) {
  const std::int64_t samples = logits.dim(0), classes = logits.row_size();
  if (samples == 0) return;
  launch({stream_, static_cast<unsigned>(divide_up(samples, warps_per_block))}, softmax_kernel, samples, classes,
         pointer<float>(p), pointer<float>(logits));
}

}  // namespace blocktrain::kernels
