#pragma once
/// Gradients of the modulated norm: for rows that lie in the registers of a warp or of several, and for any others.

#include "kernels/cuda/column_sums.cuh"

namespace blocktrain::kernels::cuda {

/// A vector for each sample, `stride` apart.
template <class T>
struct PerSample {
  T* data;
  std::int64_t stride;
  __device__ T* of(std::int64_t n) const { return data + n * stride; }
};

/// What the backward kernels read and write.
template <class T>
struct Backward {
  std::int64_t samples, tokens, width;
  T* dx;
  const T *dout, *x;
  const float *mean, *rstd;
  PerSample<const T> scale;
};

/// Where the unit of four columns `unit` lies in a row of sums in shared memory: lanes write every second unit, and
/// eight of them at once would meet in half of the banks.
__device__ inline std::int64_t bank_unit(std::int64_t unit) { return unit ^ ((unit >> 3) & 1); }

/// dx of the tokens [group * group_tokens, ..) of sample blockIdx.x, and their sums for dshift and dscale:
/// partial[group][2][sample][column]. Rows of up to Chunks * Split * 32 * lanes columns, of which all but the last
/// chunk are full. Split warps share a row, and a lane has the same columns in every row, so the sums stay in its
/// registers. All of a row is asked for before any of it is used, and two blocks fit on a multiprocessor, so that one
/// waits for memory while the other computes.
template <class T, int Chunks, int Split>
__global__ void __launch_bounds__(threads_per_block, 2)
    backward_kernel(Backward<T> b, std::int64_t group_tokens, float* partial) {
  constexpr int slots = warps_per_block / Split;  // rows under way
  float* const shared = dynamic_shared_memory();  // [slots][width], and behind it the scale as it is stored
  __shared__ float row_sums[2][slots][Split][2];
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size, slot = warp / Split, part = warp % Split;
  const int width = static_cast<int>(b.width);
  Raw<T>* const scale = reinterpret_cast<Raw<T>*>(shared + slots * width);
  const std::int64_t n = blockIdx.x, group = blockIdx.y;
  const std::int64_t begin = group * group_tokens, end = min(begin + group_tokens, b.tokens);
  const float inverse_width = 1.0f / static_cast<float>(width);
  constexpr int chunk = Split * warp_size * lanes;
  const int first = (part * warp_size + lane) * lanes;  // its columns: first + k * chunk, and the lanes from there
  const auto inside = [=](int k) { return k < Chunks - 1 || first + k * chunk < width; };
#pragma unroll 1
  for (int c = threadIdx.x * lanes; c < width; c += threads_per_block * lanes) {
    scale[c / lanes] = load_raw(b.scale.of(n) + c);
  }
  __syncthreads();
  Lanes dshift[Chunks] = {}, dscale[Chunks] = {};
  int turn = 0;
#pragma unroll 1
  for (std::int64_t t = begin + slot; t < end; t += slots) {
    const std::int64_t row = n * b.tokens + t, at = row * width + first;
    const T *const x_row = b.x + at, *const dout_row = b.dout + at;
    T* const dx_row = b.dx + at;
    Raw<T> x[Chunks], dout[Chunks], dx[Chunks];
#pragma unroll
    for (int k = 0; k < Chunks; ++k) {
      if (inside(k)) {
        x[k] = load_raw(x_row + k * chunk);
        dout[k] = load_raw(dout_row + k * chunk);
        dx[k] = load_raw(dx_row + k * chunk);
      }
    }
    const float mu = b.mean[row], r = b.rstd[row];
    float sum = 0, dot = 0;
#pragma unroll
    for (int k = 0; k < Chunks; ++k) {
      if (inside(k)) {
        const Lanes a = unpack(x[k]), d = unpack(dout[k]), s = unpack(scale[first / lanes + k * (chunk / lanes)]);
#pragma unroll
        for (int l = 0; l < lanes; ++l) {
          const float normal = (a.value[l] - mu) * r, gradient = d.value[l] * (1.0f + s.value[l]);
          dshift[k].value[l] += d.value[l];
          dscale[k].value[l] += d.value[l] * normal;
          sum += gradient;
          dot += gradient * normal;
        }
      }
    }
    sum = warp_sum(sum);
    dot = warp_sum(dot);
    if constexpr (Split > 1) {
      // Two sets in turn: a warp is at most one row ahead of the one it waits for.
      float(&sums)[Split][2] = row_sums[turn][slot];
      turn ^= 1;
      if (lane == 0) {
        sums[part][0] = sum;
        sums[part][1] = dot;
      }
      wait_for_some(1 + slot, Split * warp_size);
      sum = dot = 0;
#pragma unroll
      for (int p = 0; p < Split; ++p) {
        sum += sums[p][0];
        dot += sums[p][1];
      }
    }
    const float mean_gradient = sum * inverse_width, mean_dot = dot * inverse_width;
#pragma unroll
    for (int k = 0; k < Chunks; ++k) {
      if (inside(k)) {
        forget(x[k]);
        forget(dout[k]);
        const Lanes a = unpack(x[k]), d = unpack(dout[k]), s = unpack(scale[first / lanes + k * (chunk / lanes)]);
        Lanes g = unpack(dx[k]);
#pragma unroll
        for (int l = 0; l < lanes; ++l) {
          const float normal = (a.value[l] - mu) * r, gradient = d.value[l] * (1.0f + s.value[l]);
          g.value[l] += r * (gradient - mean_gradient - normal * mean_dot);
        }
        store_lanes(dx_row + k * chunk, g);
      }
    }
  }
#pragma unroll
  for (int which = 0; which < 2; ++which) {
    __syncthreads();
#pragma unroll
    for (int k = 0; k < Chunks; ++k) {
      if (inside(k)) {
        const Raw<float> sums = pack<float>(which == 0 ? dshift[k] : dscale[k]);
#pragma unroll
        for (int p = 0; p < Raw<float>::packs; ++p) {
          *reinterpret_cast<uint4*>(shared + slot * width + 4 * bank_unit((first + k * chunk) / 4 + p)) = sums.words[p];
        }
      }
    }
    __syncthreads();
#pragma unroll 1
    for (int c = threadIdx.x * 4; c < width; c += threads_per_block * 4) {
      Pack<float> total = {};
      for (int s = 0; s < slots; ++s) {
        const Pack<float> own = load_pack(shared + s * width + 4 * bank_unit(c / 4));
#pragma unroll
        for (int e = 0; e < 4; ++e) total.value[e] += own.value[e];
      }
      store_pack(partial + ((group * 2 + which) * b.samples + n) * width + c, total);
    }
  }
}

/// dx alone, any width at any address; a warp has a row.
template <class T>
__global__ void __launch_bounds__(threads_per_block) dx_kernel(Backward<T> b) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  if (row >= b.samples * b.tokens) return;
  const int lane = threadIdx.x % warp_size;
  const std::int64_t n = row / b.tokens, width = b.width;
  const float mu = b.mean[row], r = b.rstd[row], inverse_width = 1.0f / static_cast<float>(width);
  float sum = 0, dot = 0;
  for (std::int64_t c = lane; c < width; c += warp_size) {
    const float gradient = to_float(b.dout[row * width + c]) * (1.0f + to_float(b.scale.of(n)[c]));
    sum += gradient;
    dot += gradient * (to_float(b.x[row * width + c]) - mu) * r;
  }
  const float mean_gradient = warp_sum(sum) * inverse_width, mean_dot = warp_sum(dot) * inverse_width;
  for (std::int64_t c = lane; c < width; c += warp_size) {
    const std::int64_t i = row * width + c;
    const float gradient = to_float(b.dout[i]) * (1.0f + to_float(b.scale.of(n)[c]));
    const float normal = (to_float(b.x[i]) - mu) * r;
    b.dx[i] = from_float<T>(to_float(b.dx[i]) + r * (gradient - mean_gradient - normal * mean_dot));
  }
}

/// The terms of dshift and dscale, one column at a time.
template <class T>
struct ModulationTerms {
  static constexpr int sums = 2, rows_at_once = 0;  // no packs
  Backward<T> b;
  __device__ void operator()(std::int64_t, std::int64_t row, std::int64_t column, std::int64_t width,
                             float (&term)[sums]) const {
    const float d = to_float(b.dout[row * width + column]);
    term[0] = d;
    term[1] = d * (to_float(b.x[row * width + column]) - b.mean[row]) * b.rstd[row];
  }
};

template <class T>
struct StoreSums {
  PerSample<T> dshift, dscale;
  __device__ void operator()(std::int64_t n, std::int64_t column, const float (&sum)[2]) const {
    dshift.of(n)[column] = from_float<T>(sum[0]);
    dscale.of(n)[column] = from_float<T>(sum[1]);
  }
};

/// The backward kernel for rows of `width` columns and the warps that share a row; null when they are too wide.
template <class T>
struct BackwardKernel {
  void (*kernel)(Backward<T>, std::int64_t, float*) = nullptr;
  int split = 1;
};
template <class T>
BackwardKernel<T> backward_kernel_for(std::int64_t width) {
  switch (divide_up(width, warp_size * lanes)) {
    case 1:
      return {backward_kernel<T, 1, 1>, 1};
    case 2:
      return {backward_kernel<T, 2, 1>, 1};
    case 3:
    case 4:
      return {backward_kernel<T, 2, 2>, 2};
    case 5:
    case 6:
      // Three chunks of float32 and their sums are more than the registers hold.
      if constexpr (sizeof(T) == 2) return {backward_kernel<T, 3, 2>, 2};
      [[fallthrough]];
    case 7:
    case 8:
      return {backward_kernel<T, 2, 4>, 4};
    default:
      return {};
  }
}

}  // namespace blocktrain::kernels::cuda
