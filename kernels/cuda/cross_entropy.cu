#include <cmath>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// A warp has a sample.
__global__ void __launch_bounds__(threads_per_block)
    cross_entropy_kernel(std::int64_t count, std::int64_t samples, std::int64_t classes, float* loss, float* dlogits,
                         const float* logits, const std::int32_t* label, float loss_scale, const std::int32_t* rows,
                         std::int32_t ignored, const float* weights) {
  const std::int64_t m = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (m >= count) return;
  const int lane = threadIdx.x % warp_size;
  const std::int64_t n = rows == nullptr ? m : rows[m];
  if (n < 0 || n >= samples) return;
  const float* const row = logits + n * classes;
  const std::int32_t correct = label[n];
  if (correct == ignored || correct < 0 || correct >= classes) {
    // Outside the classes: what shows that the step is wrong.
    const float value = correct == ignored ? 0.0f : NAN;
    if (lane == 0) loss[n] = value;
    for (std::int64_t v = lane; v < classes && dlogits != nullptr; v += warp_size) dlogits[n * classes + v] = value;
    return;
  }
  const float at_correct = row[correct];  // read before the gradient may take its place
  float largest = row[0];
  for (std::int64_t v = lane; v < classes; v += warp_size) largest = fmaxf(largest, row[v]);
  largest = warp_max(largest);
  float sum = 0;
  for (std::int64_t v = lane; v < classes; v += warp_size) sum += expf(row[v] - largest);
  sum = warp_sum(sum);
  if (lane == 0) loss[n] = (largest - at_correct) + logf(sum);
  if (dlogits == nullptr) return;
  __syncwarp();  // the gradient may lie where another lane has just read
  const float scale = weights == nullptr ? loss_scale : loss_scale * weights[n], factor = scale / sum;
  for (std::int64_t v = lane; v < classes; v += warp_size) {
    dlogits[n * classes + v] = factor * expf(row[v] - largest) - (v == correct ? scale : 0.0f);
  }
}

}  // namespace

void CudaBackend::cross_entropy(const Tensor& loss, const Tensor& dlogits, const Tensor& logits, const Tensor& label,
                                double loss_scale, const Tensor& rows, std::int32_t ignored, const Tensor& weights) {
  const std::int64_t count = rows.empty() ? logits.dim(0) : rows.size(), classes = logits.row_size();
  if (count == 0) return;
  launch({stream_, static_cast<unsigned>(divide_up(count, warps_per_block))}, cross_entropy_kernel, count,
         logits.dim(0), classes, pointer<float>(loss), pointer_or_null<float>(dlogits), pointer<float>(logits),
         pointer<std::int32_t>(label), static_cast<float>(loss_scale), pointer_or_null<std::int32_t>(rows), ignored,
         pointer_or_null<float>(weights));
}

}  // namespace blocktrain::kernels
