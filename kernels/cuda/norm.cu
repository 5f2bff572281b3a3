// Layer normalisation with adaptive scale and shift. A row lies in the registers of a warp, or of several warps,
// between the passes over it.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/norm_backward.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// Rows of up to Chunks * 32 * lanes columns, a multiple of `lanes`, of which all but the last chunk are full. All of a
/// row is asked for before any of it is used, and what modulates it while its deviation is worked out.
template <class T, int Chunks>
__global__ void __launch_bounds__(threads_per_block)
    forward_kernel(std::int64_t rows, std::int64_t tokens, int width, T* out, float* mean, float* rstd, const T* x,
                   PerSample<const T> shift, PerSample<const T> scale, float epsilon) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (row >= rows) return;
  const int lane = threadIdx.x % warp_size;
  constexpr int chunk = warp_size * lanes;
  const int first = lane * lanes;  // its columns: first + k * chunk, and the lanes from there
  const auto inside = [=](int k) { return k < Chunks - 1 || first + k * chunk < width; };
  const float inverse_width = 1.0f / static_cast<float>(width);
  const T* const from = x + row * width + first;
  Raw<T> a[Chunks], s[Chunks], h[Chunks];
#pragma unroll
  for (int k = 0; k < Chunks; ++k) {
    if (inside(k)) a[k] = load_raw(from + k * chunk);
  }
  float sum = 0;
#pragma unroll
  for (int k = 0; k < Chunks; ++k) {
    if (inside(k)) {
      const Lanes v = unpack(a[k]);
#pragma unroll
      for (int l = 0; l < lanes; ++l) sum += v.value[l];
    }
  }
  const std::int64_t n = row / tokens;
  const T *const s_row = scale.of(n) + first, *const h_row = shift.of(n) + first;
#pragma unroll
  for (int k = 0; k < Chunks; ++k) {
    if (inside(k)) {
      s[k] = load_raw(s_row + k * chunk);
      h[k] = load_raw(h_row + k * chunk);
    }
  }
  const float mu = warp_sum(sum) * inverse_width;
  float squares = 0;
#pragma unroll
  for (int k = 0; k < Chunks; ++k) {
    if (inside(k)) {
      forget(a[k]);
      const Lanes v = unpack(a[k]);
#pragma unroll
      for (int l = 0; l < lanes; ++l) squares += (v.value[l] - mu) * (v.value[l] - mu);
    }
  }
  const float r = rsqrtf(warp_sum(squares) * inverse_width + epsilon);
  if (lane == 0) {
    mean[row] = mu;
    rstd[row] = r;
  }
  T* const to = out + row * width + first;
#pragma unroll
  for (int k = 0; k < Chunks; ++k) {
    if (inside(k)) {
      const Lanes scales = unpack(s[k]), shifts = unpack(h[k]);
      forget(a[k]);
      Lanes v = unpack(a[k]);
#pragma unroll
      for (int l = 0; l < lanes; ++l) {
        v.value[l] = (v.value[l] - mu) * r * (1.0f + scales.value[l]) + shifts.value[l];
      }
      store_lanes(to + k * chunk, v);
    }
  }
}

/// Rows of any width at any address: read again for every pass.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    forward_any_kernel(std::int64_t rows, std::int64_t tokens, std::int64_t width, T* out, float* mean, float* rstd,
                       const T* x, PerSample<const T> shift, PerSample<const T> scale, float epsilon) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (row >= rows) return;
  const int lane = threadIdx.x % warp_size;
  const T* const a = x + row * width;
  const float inverse_width = 1.0f / static_cast<float>(width);
  float sum = 0, squares = 0;
  for (std::int64_t c = lane; c < width; c += warp_size) sum += to_float(a[c]);
  const float mu = warp_sum(sum) * inverse_width;
  for (std::int64_t c = lane; c < width; c += warp_size) squares += (to_float(a[c]) - mu) * (to_float(a[c]) - mu);
  const float r = rsqrtf(warp_sum(squares) * inverse_width + epsilon);
  if (lane == 0) {
    mean[row] = mu;
    rstd[row] = r;
  }
  const std::int64_t n = row / tokens;
  for (std::int64_t c = lane; c < width; c += warp_size) {
    const float normal = (to_float(a[c]) - mu) * r;
    out[row * width + c] = from_float<T>(normal * (1.0f + to_float(scale.of(n)[c])) + to_float(shift.of(n)[c]));
  }
}

/// Calls f(chunks) with the number of chunks that hold a row; false when there is no kernel for so many.
template <class F>
bool with_chunks(std::int64_t width, F&& f) {
  switch (divide_up(width, warp_size * lanes)) {
    case 1:
      return f(std::integral_constant<int, 1>{}), true;
    case 2:
      return f(std::integral_constant<int, 2>{}), true;
    case 3:
      return f(std::integral_constant<int, 3>{}), true;
    case 4:
      return f(std::integral_constant<int, 4>{}), true;
    case 5:
      return f(std::integral_constant<int, 5>{}), true;
    case 6:
      return f(std::integral_constant<int, 6>{}), true;
    case 7:
      return f(std::integral_constant<int, 7>{}), true;
    case 8:
      return f(std::integral_constant<int, 8>{}), true;
    default:
      return false;
  }
}

}  // namespace

void CudaBackend::norm_modulate_forward(const Tensor& out, const Tensor& mean, const Tensor& rstd, const Tensor& x,
                                        const Tensor& shift, const Tensor& scale, double epsilon) {
  const std::int64_t samples = x.dim(0), tokens = x.dim(1), width = x.dim(2), rows = samples * tokens;
  if (rows == 0) return;
  const unsigned blocks = static_cast<unsigned>(divide_up(rows, warps_per_block));
  const auto eps = static_cast<float>(epsilon);
  float *const mp = pointer<float>(mean), *const rp = pointer<float>(rstd);
  with_stored_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    T* const to = pointer<T>(out);
    const T* const from = pointer<T>(x);
    const PerSample<const T> h{pointer<T>(shift), shift.row_stride}, s{pointer<T>(scale), scale.row_stride};
    const bool packs = width % lanes == 0 && packs_at(to) && packs_at(from) && packs_at(h.data, h.stride) &&
                       packs_at(s.data, s.stride);
    const bool done = packs && with_chunks(width, [&](auto chunks) {
                        launch({stream_, blocks}, forward_kernel<T, decltype(chunks)::value>, rows, tokens,
                               static_cast<int>(width), to, mp, rp, from, h, s, eps);
                      });
    if (!done) {
      launch({stream_, blocks}, forward_any_kernel<T>, rows, tokens, width, to, mp, rp, from, h, s, eps);
    }
  });
}

void CudaBackend::norm_modulate_backward(const Tensor& dx, const Tensor& dshift, const Tensor& dscale,
                                         const Tensor& dout, const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                         const Tensor& scale) {
  const std::int64_t samples = x.dim(0), tokens = x.dim(1), width = x.dim(2), rows = samples * tokens;
  if (rows == 0) return;
  with_stored_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    const Backward<T> b{samples,
                        tokens,
                        width,
                        pointer<T>(dx),
                        pointer<T>(dout),
                        pointer<T>(x),
                        pointer<float>(mean),
                        pointer<float>(rstd),
                        {pointer<T>(scale), scale.row_stride}};
    const StoreSums<T> finish{{pointer<T>(dshift), dshift.row_stride}, {pointer<T>(dscale), dscale.row_stride}};
    const bool packs = width % lanes == 0 && packs_at(b.dx) && packs_at(b.dout) && packs_at(b.x) &&
                       packs_at(b.scale.data, b.scale.stride);
    std::int64_t groups = row_groups(samples, tokens, 1, enough_blocks / 2);  // their last sums cost more
    groups = std::min(groups, static_cast<std::int64_t>(workspace_.floats()) / (2 * samples * width));
    const BackwardKernel<T> found = backward_kernel_for<T>(width);
    if (packs && groups >= 1 && found.kernel != nullptr) {
      const std::int64_t group_tokens = divide_up(tokens, groups);
      groups = divide_up(tokens, group_tokens);
      const dim3 grid(static_cast<unsigned>(samples), static_cast<unsigned>(groups));
      // At most 27 KiB (1536 columns of bfloat16), within what every GPU gives without asking.
      const std::size_t shared = static_cast<std::size_t>(width) *
                                 (static_cast<std::size_t>(warps_per_block / found.split) * sizeof(float) + sizeof(T));
      launch({stream_, grid, threads_per_block, shared}, found.kernel, b, group_tokens, workspace_.data());
      finish_columns<2>(stream_, samples, width, groups, workspace_.data(), finish);
    } else {
      column_sums(stream_, workspace_, samples, tokens, width, false, ModulationTerms<T>{b}, finish);
      launch({stream_, static_cast<unsigned>(divide_up(rows, warps_per_block))}, dx_kernel<T>, b);
    }
  });
}

}  // namespace blocktrain::kernels
