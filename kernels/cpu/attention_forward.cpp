#include "kernels/cpu/attention.hpp"
#include "kernels/cpu/attention_long.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/small_gemm.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels {
namespace {

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

/// One head of one sample: out rows `width` apart, log_sum_exp of each token.
void forward_head(const Shape& shape, Scratch scratch, const float* qkv, float* out, float* log_sum_exp) {
  const std::int64_t tokens = shape.tokens, padded = shape.padded_width, block = shape.query_block;
  float* transposed = scratch.take(padded * shape.padded_tokens);
  float* scores = scratch.take(tokens * block);
  float* sums = scratch.take(2 * block);
  float* result = scratch.take(block * padded);
  const std::int64_t stride = 3 * shape.width;
  const std::int64_t copied = shape.packed ? tokens * padded : 0;
  const Rows q = attention::head_rows(shape, qkv, stride, scratch.take(copied));
  const Rows k = attention::head_rows(shape, qkv + shape.width, stride, scratch.take(copied));
  const Rows v = attention::head_rows(shape, qkv + 2 * shape.width, stride, scratch.take(copied));
  attention::transpose_rows(shape, q, transposed);
  for (std::int64_t first = 0; first < tokens; first += block) {
    small_gemm(tokens, block, padded, {k.data, k.stride, 1}, transposed + first, shape.padded_tokens, scores, block,
               false, shape.scale);
    softmax_columns(shape, scores, sums, sums + block);
    const std::int64_t queries = std::min(block, tokens - first);
    small_gemm(queries, padded, tokens, {scores, 1, block}, v.data, v.stride, result, padded, false, 1.0f);
    for (std::int64_t i = 0; i < queries; ++i) {
      const float inverse = 1.0f / sums[i];
      float* row = out + (first + i) * shape.width;
#pragma omp simd
      for (std::int64_t d = 0; d < shape.head_width; ++d) row[d] = result[i * padded + d] * inverse;
      log_sum_exp[first + i] = sums[block + i];
    }
  }
}

}  // namespace

void CpuBackend::attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& qkv, int heads) {
  const Shape shape(qkv, heads);
  const bool whole = attention::fits_whole(shape);
  BLOCKTRAIN_EXPECTS(whole || shape.head_width <= attention::widest_head);
  const float* in = qkv.as<float>();
  float* op = out.as<float>();
  float* lp = log_sum_exp.as<float>();
  parallel_ranges(threads_, shape.samples * heads, shape.heads_per_piece(),
                  [&](std::int64_t begin, std::int64_t end, int thread) {
                    for (std::int64_t i = begin; i < end; ++i) {
                      const std::int64_t n = i / heads, column = i % heads * shape.head_width;
                      const auto head = whole ? forward_head : attention::forward_long_head;
                      head(shape, Scratch(workspace_, thread), in + n * shape.tokens * 3 * shape.width + column,
                           op + n * shape.tokens * shape.width + column, lp + i * shape.tokens);
                    }
                  });
}

}  // namespace blocktrain::kernels
