// Additions along the residual stream.
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"

namespace blocktrain::kernels {

void CpuBackend::gated_residual_forward(const Tensor& out, const Tensor& x, const Tensor& h, const Tensor& gate) {
  const std::int64_t samples = x.dim(0), tokens = x.dim(1), width = x.dim(2);
  const float* xp = x.as<float>();
  const float* hp = h.as<float>();
  const float* gp = gate.as<float>();
  float* op = out.as<float>();
  parallel_ranges(threads_, samples * tokens, rows_per_piece(width), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* g = gp + row / tokens * gate.row_stride;
      const float* a = xp + row * width;
      const float* b = hp + row * width;
      float* o = op + row * width;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) o[c] = a[c] + g[c] * b[c];
    }
  });
}

void CpuBackend::gated_residual_backward(const Tensor& dh, const Tensor& dgate, const Tensor& dout, const Tensor& h,
                                         const Tensor& gate) {
  const std::int64_t samples = dout.dim(0), tokens = dout.dim(1), width = dout.dim(2);
  parallel_for(threads_, samples, [&](std::int64_t n) {
    const float* g = gate.as<float>() + n * gate.row_stride;
    float* dg = dgate.as<float>() + n * dgate.row_stride;
    for (std::int64_t c = 0; c < width; ++c) dg[c] = 0;
    for (std::int64_t row = n * tokens; row < (n + 1) * tokens; ++row) {
      const float* d = dout.as<float>() + row * width;
      const float* b = h.as<float>() + row * width;
      float* o = dh.as<float>() + row * width;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) {
        dg[c] += d[c] * b[c];
        o[c] = g[c] * d[c];
      }
    }
  });
}

void CpuBackend::add_rows(const Tensor& x, const Tensor& row) {
  const std::int64_t samples = x.dim(0), size = row.size();
  float* xp = x.as<float>();
  const float* rp = row.as<float>();
  const std::int64_t pieces = (size + elementwise_piece - 1) / elementwise_piece;
  parallel_for(threads_, samples * pieces, [=](std::int64_t i) {
    float* a = xp + i / pieces * size;
    const std::int64_t begin = i % pieces * elementwise_piece;
    const std::int64_t end = begin + elementwise_piece < size ? begin + elementwise_piece : size;
#pragma omp simd
    for (std::int64_t j = begin; j < end; ++j) a[j] += rp[j];
  });
}

}  // namespace blocktrain::kernels
