#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/attention.hpp"
#include "kernels/cpu/attention_masked.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/small_gemm.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels {
namespace {

using attention::HeadInputs;
using attention::HeadRows;
using attention::Rows;
using attention::Scratch;
using attention::Shape;

/// Softmax down the columns of scores[tokens][query_block] without the division; sum and log_sum_exp per column.
void softmax_columns(const Shape& shape, float* scores, float* sum, float* log_sum_exp) {
  const std::int64_t stride = shape.query_block;
  for (std::int64_t lane = 0; lane < stride; lane += 16) {
    float largest[16], total[16];
    for (int l = 0; l < 16; ++l) largest[l] = scores[lane + l];
    for (std::int64_t j = 1; j < shape.tokens; ++j) {
      const float* row = scores + j * stride + lane;
#pragma omp simd
      for (int l = 0; l < 16; ++l) largest[l] = row[l] > largest[l] ? row[l] : largest[l];
    }
    for (int l = 0; l < 16; ++l) total[l] = 0;
    for (std::int64_t j = 0; j < shape.tokens; ++j) {
      float* row = scores + j * stride + lane;
#pragma omp simd
      for (int l = 0; l < 16; ++l) {
        const float p = fast_exp(row[l] - largest[l]);
        row[l] = p;
        total[l] += p;
      }
    }
#pragma omp simd
    for (int l = 0; l < 16; ++l) {
      sum[lane + l] = total[l];
      log_sum_exp[lane + l] = largest[l] + fast_log(total[l]);
    }
  }
}

/// One head of one sample.
void forward_head(const Shape& shape, Scratch scratch, const HeadInputs& in, const HeadRows<float>& out,
                  float* log_sum_exp) {
  const std::int64_t tokens = shape.tokens, padded = shape.padded_width, block = shape.query_block;
  float* transposed = scratch.take(padded * shape.padded_tokens);
  float* scores = scratch.take(tokens * block);
  float* sums = scratch.take(2 * block);
  float* result = scratch.take(block * padded);
  const std::int64_t copied = shape.packed ? tokens * padded : 0;
  const Rows q = attention::head_rows(shape, in.q, scratch.take(copied));
  const Rows k = attention::head_rows(shape, in.k, scratch.take(copied));
  const Rows v = attention::head_rows(shape, in.v, scratch.take(copied));
  attention::transpose_rows(shape, q, transposed);
  for (std::int64_t first = 0; first < tokens; first += block) {
    small_gemm(tokens, block, padded, {k.data, k.stride, 1}, transposed + first, shape.padded_tokens, scores, block,
               false, shape.scale);
    softmax_columns(shape, scores, sums, sums + block);
    const std::int64_t queries = std::min(block, tokens - first);
    small_gemm(queries, padded, tokens, {scores, 1, block}, v.data, v.stride, result, padded, false, 1.0f);
    for (std::int64_t i = 0; i < queries; ++i) {
      const float inverse = 1.0f / sums[i];
      float* row = out.row(first + i);
#pragma omp simd
      for (std::int64_t d = 0; d < shape.head_width; ++d) row[d] = result[i * padded + d] * inverse;
      log_sum_exp[first + i] = sums[block + i];
    }
  }
}

}  // namespace

void CpuBackend::attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                                   const Tensor& v, const AttentionForm& form) {
  const AttentionSizes sizes(log_sum_exp, q, k, form);
  if (!attention::fits_whole(sizes, form)) {
    return attention::forward_masked(threads_, workspace_, sizes, form.mask, out, log_sum_exp, q, k, v);
  }
  const Shape shape(sizes);
  float* lp = log_sum_exp.as<float>();
  parallel_ranges(threads_, shape.samples * shape.heads, shape.heads_per_piece(),
                  [&](std::int64_t begin, std::int64_t end, int thread) {
                    for (std::int64_t i = begin; i < end; ++i) {
                      const std::int64_t n = i / shape.heads, h = i % shape.heads;
                      const auto rows = [&](const Tensor& t) {
                        return attention::head_rows_of<const float>(t, sizes, n, h);
                      };
                      forward_head(shape, Scratch(workspace_, thread), {rows(q), rows(k), rows(v)},
                                   attention::head_rows_of<float>(out, sizes, n, h), lp + i * shape.tokens);
                    }
                  });
}

void CpuBackend::attention_merge(const Tensor& out, const Tensor& log_sum_exp, const Tensor& out_a,
                                 const Tensor& sums_a, const Tensor& out_b, const Tensor& sums_b) {
  const std::int64_t samples = log_sum_exp.dim(0), heads = log_sum_exp.dim(1), tokens = log_sum_exp.dim(2);
  const std::int64_t width = token_width(out) / heads;
  const TokenStrides so = token_strides(out, samples), sa = token_strides(out_a, samples),
                     sb = token_strides(out_b, samples);
  float *const op = out.as<float>(), *const lp = log_sum_exp.as<float>();
  const float *const ap = out_a.as<float>(), *const bp = out_b.as<float>();
  const float *const la = sums_a.as<float>(), *const lb = sums_b.as<float>();
  constexpr float nothing = -std::numeric_limits<float>::infinity();
  parallel_ranges(threads_, samples * heads, 1, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * tokens; i < end * tokens; ++i) {
      const std::int64_t n = i / (heads * tokens), h = i / tokens % heads, t = i % tokens;
      const float largest = std::max(la[i], lb[i]);
      float of_a = 0, of_b = 0, sum = nothing;
      if (largest != nothing) {
        const float a = std::exp(la[i] - largest), b = std::exp(lb[i] - largest);
        of_a = a / (a + b);
        of_b = b / (a + b);
        sum = largest + std::log(a + b);
      }
      const float* const a = ap + n * sa.sample + t * sa.token + h * width;
      const float* const b = bp + n * sb.sample + t * sb.token + h * width;
      float* const o = op + n * so.sample + t * so.token + h * width;
#pragma omp simd
      for (std::int64_t d = 0; d < width; ++d) o[d] = of_a * a[d] + of_b * b[d];
      lp[i] = sum;
    }
  });
}

}  // namespace blocktrain::kernels
