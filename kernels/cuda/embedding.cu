#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

template <class T>
void gather(cudaStream_t stream, const Tensor& out, const Tensor& table, const Tensor& index) {
  T* const to = pointer<T>(out);
  const T* const rows = pointer<T>(table);
  const std::int32_t* const which = pointer<std::int32_t>(index);
  const std::int64_t width = table.row_size();
  each(stream, out.size(), [=] __device__(std::int64_t i) { to[i] = rows[which[i / width] * width + i % width]; });
}

/// dtable[v] += rows of dout whose index is v = blockIdx.x, in their order. A block first collects the samples of its
/// row, in order, threads_per_block indices at a time; the threads then have a column each.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    scatter_kernel(std::int64_t samples, std::int64_t width, float* dtable, const T* dout, const std::int32_t* index) {
  __shared__ unsigned found[warps_per_block];
  __shared__ int list[threads_per_block];
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const auto row = static_cast<std::int32_t>(blockIdx.x);
  for (std::int64_t first = 0; first < samples; first += threads_per_block) {
    const std::int64_t n = first + threadIdx.x;
    const bool mine = n < samples && index[n] == row;
    const unsigned of_warp = __ballot_sync(whole_warp, mine);
    if (lane == 0) found[warp] = of_warp;
    __syncthreads();
    int before = __popc(of_warp & ((1u << lane) - 1)), count = 0;
    for (int w = 0; w < warps_per_block; ++w) {
      const int own = __popc(found[w]);
      before += w < warp ? own : 0;
      count += own;
    }
    if (mine) list[before] = threadIdx.x;
    __syncthreads();
    if (count == 0) continue;
    for (std::int64_t c = threadIdx.x; c < width; c += threads_per_block) {
      float sum = dtable[row * width + c];
#pragma unroll 4
      for (int i = 0; i < count; ++i) sum += to_float(dout[(first + list[i]) * width + c]);
      dtable[row * width + c] = sum;
    }
    __syncthreads();  // before the list changes
  }
}

template <class T>
void scatter(cudaStream_t stream, const Tensor& dtable, const Tensor& dout, const Tensor& index) {
  if (dtable.size() == 0 || index.size() == 0) return;
  launch({stream, static_cast<unsigned>(dtable.dim(0))}, scatter_kernel<T>, index.size(), dtable.row_size(),
         pointer<float>(dtable), pointer<T>(dout), pointer<std::int32_t>(index));
}

template <class T>
void features(cudaStream_t stream, const Tensor& out, const Tensor& sigma) {
  T* const to = pointer<T>(out);
  const float* const levels = pointer<float>(sigma);
  const std::int64_t half = out.dim(1) / 2;
  each(stream, out.dim(0) * half, [=] __device__(std::int64_t i) {
    const std::int64_t n = i / half, f = i % half;
    // Angles reach hundreds of radians: double, until reduced.
    const double frequency = 100 * pow(10000.0, -static_cast<double>(f) / static_cast<double>(half));
    double sine, cosine;
    sincos(frequency * log(static_cast<double>(levels[n])) / 4, &sine, &cosine);
    to[n * 2 * half + f] = from_float<T>(static_cast<float>(cosine));
    to[n * 2 * half + half + f] = from_float<T>(static_cast<float>(sine));
  });
}

}  // namespace

// Indices come from drop_labels, which puts every one of a checked data set inside the table; they are not read back.
void CudaBackend::embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index) {
  with_stored_type(out.dtype, [&](auto type) { gather<decltype(type)>(stream_, out, table, index); });
}

void CudaBackend::embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index) {
  with_stored_type(dout.dtype, [&](auto type) { scatter<decltype(type)>(stream_, dtable, dout, index); });
}

void CudaBackend::noise_features(const Tensor& out, const Tensor& sigma) {
  with_stored_type(out.dtype, [&](auto type) { features<decltype(type)>(stream_, out, sigma); });
}

}  // namespace blocktrain::kernels
