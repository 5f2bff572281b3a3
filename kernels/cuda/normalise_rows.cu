#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// A warp has a row.
__global__ void __launch_bounds__(threads_per_block)
    normalise_kernel(std::int64_t rows, std::int64_t width, float* out, float* norm, const float* table) {
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (r >= rows) return;
  const int lane = threadIdx.x % warp_size;
  float squares = 0;
  for (std::int64_t c = lane; c < width; c += warp_size) squares += table[r * width + c] * table[r * width + c];
  const float length = sqrtf(warp_sum(squares)), by = length > 0 ? 1 / length : 0;
  if (lane == 0) norm[r] = length;
  for (std::int64_t c = lane; c < width; c += warp_size) out[r * width + c] = by * table[r * width + c];
}

__global__ void __launch_bounds__(threads_per_block)
    normalise_backward_kernel(std::int64_t rows, std::int64_t width, float* dtable, const float* dout, const float* out,
                              const float* norm) {
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (r >= rows || norm[r] == 0) return;
  const int lane = threadIdx.x % warp_size;
  float along = 0;
  for (std::int64_t c = lane; c < width; c += warp_size) along += out[r * width + c] * dout[r * width + c];
  along = warp_sum(along);
  const float by = 1 / norm[r];
  for (std::int64_t c = lane; c < width; c += warp_size) {
    const std::int64_t i = r * width + c;
    dtable[i] += by * (dout[i] - out[i] * along);
  }
}

}  // namespace

void CudaBackend::normalise_rows(const Tensor& out, const Tensor& norm, const Tensor& table) {
  const std::int64_t rows = table.dim(0);
  if (table.size() == 0) return;
  launch({stream_, static_cast<unsigned>(divide_up(rows, warps_per_block))}, normalise_kernel, rows, table.row_size(),
         pointer<float>(out), pointer<float>(norm), pointer<float>(table));
}

void CudaBackend::normalise_rows_backward(const Tensor& dtable, const Tensor& dout, const Tensor& out,
                                          const Tensor& norm) {
  const std::int64_t rows = out.dim(0);
  if (out.size() == 0) return;
  launch({stream_, static_cast<unsigned>(divide_up(rows, warps_per_block))}, normalise_backward_kernel, rows,
         out.row_size(), pointer<float>(dtable), pointer<float>(dout), pointer<float>(out), pointer<float>(norm));
}

}  // namespace blocktrain::kernels
