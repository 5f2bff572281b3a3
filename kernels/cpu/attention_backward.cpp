#include "kernels/cpu/attention.hpp"
#include "kernels/cpu/attention_masked.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/small_gemm.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels {
namespace {

using attention::HeadGradients;
using attention::HeadInputs;
using attention::HeadRows;
using attention::Rows;
using attention::Scratch;
using attention::Shape;

/// From scores and dprobability, both [tokens][query_block]: the probabilities (in place of the scores) and the
/// gradient of the scores before scaling, p * (dp - sum_j p dp), in place of dprobability. Columns from `queries` on
/// become 0.
void softmax_columns_backward(const Shape& shape, float* scores, float* gradient, const float* log_sum_exp,
                              std::int64_t queries) {
  const std::int64_t stride = shape.query_block;
  for (std::int64_t lane = 0; lane < stride; lane += 16) {
    float total[16], dot[16];
    for (int l = 0; l < 16; ++l) {
      total[l] = lane + l < queries ? log_sum_exp[lane + l] : 0.0f;
      dot[l] = 0;
    }
    for (std::int64_t j = 0; j < shape.tokens; ++j) {
      float* s = scores + j * stride + lane;
      const float* g = gradient + j * stride + lane;
#pragma omp simd
      for (int l = 0; l < 16; ++l) {
        const float p = fast_exp(s[l] - total[l]);
        s[l] = p;
        dot[l] += p * g[l];
      }
    }
    for (std::int64_t j = 0; j < shape.tokens; ++j) {
      const float* s = scores + j * stride + lane;
      float* g = gradient + j * stride + lane;
#pragma omp simd
      for (int l = 0; l < 16; ++l) g[l] = s[l] * (g[l] - dot[l]);
    }
  }
}

/// The rows of one head from a padded buffer.
void store_rows(const Shape& shape, const float* from, const HeadRows<float>& to) {
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    std::copy(from + t * shape.padded_width, from + t * shape.padded_width + shape.head_width, to.row(t));
  }
}

void backward_head(const Shape& shape, Scratch scratch, const HeadInputs& in, const HeadRows<const float>& dout,
                   const float* log_sum_exp, const HeadGradients& out) {
  const std::int64_t tokens = shape.tokens, padded = shape.padded_width, block = shape.query_block;
  float* transposed_q = scratch.take(padded * shape.padded_tokens);
  float* transposed_dout = scratch.take(padded * shape.padded_tokens);
  float* scores = scratch.take(tokens * block);
  float* gradient = scratch.take(tokens * block);
  const std::int64_t copied = shape.packed ? tokens * padded : 0;
  const Rows q = attention::head_rows(shape, in.q, scratch.take(copied));
  const Rows k = attention::head_rows(shape, in.k, scratch.take(copied));
  const Rows v = attention::head_rows(shape, in.v, scratch.take(copied));
  const Rows d = attention::head_rows(shape, dout, scratch.take(copied));
  // The three gradients: straight to where they belong, or by way of padded rows.
  const auto target = [&](const HeadRows<float>& rows) {
    return shape.packed ? HeadRows<float>{scratch.take(copied), padded} : rows;
  };
  const HeadRows<float> dq = target(out.dq), dk = target(out.dk), dv = target(out.dv);
  attention::transpose_rows(shape, q, transposed_q);
  attention::transpose_rows(shape, d, transposed_dout);
  for (std::int64_t first = 0; first < tokens; first += block) {
    const std::int64_t queries = std::min(block, tokens - first);
    const bool add = first > 0;
    small_gemm(tokens, block, padded, {k.data, k.stride, 1}, transposed_q + first, shape.padded_tokens, scores, block,
               false, shape.scale);
    small_gemm(tokens, block, padded, {v.data, v.stride, 1}, transposed_dout + first, shape.padded_tokens, gradient,
               block, false, 1.0f);
    softmax_columns_backward(shape, scores, gradient, log_sum_exp + first, queries);
    small_gemm(tokens, padded, queries, {scores, block, 1}, d.data + first * d.stride, d.stride, dv.data, dv.stride,
               add, 1.0f);
    small_gemm(tokens, padded, queries, {gradient, block, 1}, q.data + first * q.stride, q.stride, dk.data, dk.stride,
               add, shape.scale);
    small_gemm(queries, padded, tokens, {gradient, 1, block}, k.data, k.stride, dq.row(first), dq.stride, false,
               shape.scale);
  }
  if (shape.packed) {
    store_rows(shape, dq.data, out.dq);
    store_rows(shape, dk.data, out.dk);
    store_rows(shape, dv.data, out.dv);
  }
}

}  // namespace

void CpuBackend::attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& dout,
                                    const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                                    const Tensor& v, const AttentionForm& form, GradientWrite write_dq,
                                    GradientWrite write_dkv) {
  const AttentionSizes sizes(log_sum_exp, q, k, form);
  const bool adds = write_dq == GradientWrite::add || write_dkv == GradientWrite::add;
  // backward_head sums a row's p dp itself, over the keys that are here.
  if (!attention::fits_whole(sizes, form) || form.merged || adds) {
    const attention::MaskedGradient gradient{dq, dk, dv, write_dq, write_dkv};
    return attention::backward_masked(threads_, workspace_, sizes, form.mask, gradient, dout, out, log_sum_exp, q, k,
                                      v);
  }
  const Shape shape(sizes);
  const float* lp = log_sum_exp.as<float>();
  parallel_ranges(
      threads_, shape.samples * shape.heads, shape.heads_per_piece(),
      [&](std::int64_t begin, std::int64_t end, int thread) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t n = i / shape.heads, h = i % shape.heads;
          const auto rows = [&](const Tensor& t) { return attention::head_rows_of<const float>(t, sizes, n, h); };
          const auto writes = [&](const Tensor& t) { return attention::head_rows_of<float>(t, sizes, n, h); };
          const HeadInputs in{rows(q), rows(k), rows(v)};
          const HeadGradients gradients{writes(dq), writes(dk), writes(dv)};
          backward_head(shape, Scratch(workspace_, thread), in, rows(dout), lp + i * shape.tokens, gradients);
        }
      });
}

}  // namespace blocktrain::kernels
