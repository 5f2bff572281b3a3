// Layer normalisation with adaptive scale and shift. A row lies in the registers of a warp, or of several warps,
// between the passes over it.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/cuda_ops.hpp"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// A vector for each sample, `stride` apart.
template <class T>
struct PerSample {
  T* data;
  std::int64_t stride;
  __device__ T* of(std::int64_t n) const { return data + n * stride; }
};

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

}  // namespace

void CudaOps::norm_modulate_forward(const Tensor& out, const Tensor& mean, const Tensor& rstd, const Tensor& x,
                                    const Tensor& shift, const Tensor& scale, double epsilon) {
  const std::int64_t samples = x.dim(0), tokens = x.dim(1), width = x.dim(2), rows = samples * tokens;
  BLOCKTRAIN_EXPECTS(x.contiguous() && out.contiguous() && out.size() == x.size());
  BLOCKTRAIN_EXPECTS(mean.size() == rows && rstd.size() == rows);
  BLOCKTRAIN_EXPECTS(shift.dim(0) == samples && shift.row_size() == width);
  BLOCKTRAIN_EXPECTS(scale.dim(0) == samples && scale.row_size() == width);
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

void CudaOps::norm_modulate_backward(const Tensor& dx, const Tensor& dshift, const Tensor& dscale, const Tensor& dout,
                                     const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& scale) {
  const std::int64_t samples = x.dim(0), tokens = x.dim(1), width = x.dim(2), rows = samples * tokens;
  BLOCKTRAIN_EXPECTS(x.contiguous() && dx.contiguous() && dout.contiguous());
  BLOCKTRAIN_EXPECTS(dx.size() == x.size() && dout.size() == x.size());
  BLOCKTRAIN_EXPECTS(mean.size() == rows && rstd.size() == rows);
  BLOCKTRAIN_EXPECTS(dshift.dim(0) == samples && dshift.row_size() == width);
  BLOCKTRAIN_EXPECTS(dscale.dim(0) == samples && dscale.row_size() == width);
  BLOCKTRAIN_EXPECTS(scale.dim(0) == samples && scale.row_size() == width);
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
