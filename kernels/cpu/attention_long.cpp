#include "kernels/cpu/attention_long.hpp"

#include <limits>

#include "kernels/cpu/small_gemm.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels::attention {
namespace {

/// The softmax of a block of queries goes on over a tile of scores[keys][queries]: they become their exponentials over
/// the new `largest`, and `factor` says by what everything summed before shrinks.
void softmax_tile(float* scores, std::int64_t keys, std::int64_t queries, float* largest, float* sum, float* factor) {
  for (std::int64_t lane = 0; lane < queries; lane += 16) {
    float most[16], total[16];
    for (int l = 0; l < 16; ++l) most[l] = std::max(largest[lane + l], scores[lane + l]);
    for (std::int64_t j = 1; j < keys; ++j) {
      const float* row = scores + j * queries + lane;
#pragma omp simd
      for (int l = 0; l < 16; ++l) most[l] = row[l] > most[l] ? row[l] : most[l];
    }
#pragma omp simd
    for (int l = 0; l < 16; ++l) {
      factor[lane + l] = fast_exp(largest[lane + l] - most[l]);
      total[l] = 0;
    }
    for (std::int64_t j = 0; j < keys; ++j) {
      float* row = scores + j * queries + lane;
#pragma omp simd
      for (int l = 0; l < 16; ++l) {
        const float p = fast_exp(row[l] - most[l]);
        row[l] = p;
        total[l] += p;
      }
    }
    for (int l = 0; l < 16; ++l) {
      sum[lane + l] = sum[lane + l] * factor[lane + l] + total[l];
      largest[lane + l] = most[l];
    }
  }
}

/// From scores and the gradients of the probabilities, both [keys][queries]: the probabilities, and the gradients of
/// the scores before scaling, p * (dp - dot), where `dot` is sum_j p dp over all keys.
void gradient_tile(float* scores, float* gradient, std::int64_t keys, std::int64_t queries, const float* log_sum_exp,
                   const float* dot) {
  for (std::int64_t j = 0; j < keys; ++j) {
    float* s = scores + j * queries;
    float* g = gradient + j * queries;
#pragma omp simd
    for (std::int64_t l = 0; l < queries; ++l) {
      const float p = fast_exp(s[l] - log_sum_exp[l]);
      s[l] = p;
      g[l] = p * (g[l] - dot[l]);
    }
  }
}

}  // namespace

void forward_long_head(const Shape& shape, Scratch scratch, const HeadInputs& in, const HeadRows<float>& out,
                       float* log_sum_exp) {
  const Tiles tiles = tiles_of(shape.padded_width);
  const std::int64_t padded = shape.padded_width, width = shape.head_width;
  float* k = scratch.take(tiles.keys * padded);
  float* v = scratch.take(tiles.keys * padded);
  float* scores = scratch.take(tiles.keys * tiles.queries);
  float* q = scratch.take(tiles.queries * padded);
  float* transposed = scratch.take(padded * tiles.queries);
  float* result = scratch.take(tiles.queries * padded);
  float* largest = scratch.take(tiles.queries);
  float* sum = scratch.take(tiles.queries);
  float* factor = scratch.take(tiles.queries);
  for (std::int64_t first = 0; first < shape.tokens; first += tiles.queries) {
    const std::int64_t queries = std::min(tiles.queries, shape.tokens - first);
    copy_rows(in.q, first, queries, width, padded, q);
    transpose(q, queries, tiles.queries, padded, transposed);
    // Finite, or the first factor would be that of a difference of infinities.
    std::fill(largest, largest + tiles.queries, std::numeric_limits<float>::lowest() / 2);
    std::fill(sum, sum + tiles.queries, 0.0f);
    for (std::int64_t begin = 0; begin < shape.tokens; begin += tiles.keys) {
      const std::int64_t keys = std::min(tiles.keys, shape.tokens - begin);
      copy_rows(in.k, begin, keys, width, padded, k);
      copy_rows(in.v, begin, keys, width, padded, v);
      small_gemm(keys, tiles.queries, padded, {k, padded, 1}, transposed, tiles.queries, scores, tiles.queries, false,
                 shape.scale);
      softmax_tile(scores, keys, tiles.queries, largest, sum, factor);
      for (std::int64_t i = 0; i < queries && begin > 0; ++i) {
        float* row = result + i * padded;
#pragma omp simd
        for (std::int64_t d = 0; d < padded; ++d) row[d] *= factor[i];
      }
      small_gemm(queries, padded, keys, {scores, 1, tiles.queries}, v, padded, result, padded, begin > 0, 1.0f);
    }
    for (std::int64_t i = 0; i < queries; ++i) {
      const float inverse = 1.0f / sum[i];
      float* row = out.row(first + i);
#pragma omp simd
      for (std::int64_t d = 0; d < width; ++d) row[d] = result[i * padded + d] * inverse;
      log_sum_exp[first + i] = largest[i] + fast_log(sum[i]);
    }
  }
}

void backward_long_head(const Shape& shape, Scratch scratch, const HeadInputs& in, const HeadRows<const float>& dout,
                        const HeadRows<const float>& out, const float* log_sum_exp, const HeadGradients& gradients) {
  const Tiles tiles = tiles_of(shape.padded_width);
  const std::int64_t padded = shape.padded_width, width = shape.head_width, block = tiles.queries;
  float* k = scratch.take(tiles.keys * padded);
  float* v = scratch.take(tiles.keys * padded);
  float* dk = scratch.take(tiles.keys * padded);
  float* dv = scratch.take(tiles.keys * padded);
  float* scores = scratch.take(tiles.keys * block);
  float* gradient = scratch.take(tiles.keys * block);
  float* q = scratch.take(block * padded);
  float* d = scratch.take(block * padded);
  float* transposed_q = scratch.take(padded * block);
  float* transposed_d = scratch.take(padded * block);
  float* dq = scratch.take(block * padded);
  float* dot = scratch.take(block);
  float* total = scratch.take(block);
  for (std::int64_t begin = 0; begin < shape.tokens; begin += tiles.keys) {
    const std::int64_t keys = std::min(tiles.keys, shape.tokens - begin);
    copy_rows(in.k, begin, keys, width, padded, k);
    copy_rows(in.v, begin, keys, width, padded, v);
    for (std::int64_t first = 0; first < shape.tokens; first += block) {
      const std::int64_t queries = std::min(block, shape.tokens - first);
      copy_rows(in.q, first, queries, width, padded, q);
      copy_rows(dout, first, queries, width, padded, d);
      transpose(q, queries, block, padded, transposed_q);
      transpose(d, queries, block, padded, transposed_d);
      for (std::int64_t i = 0; i < block; ++i) {
        // sum_j p dp = sum_d dout out: known before all keys have been seen.
        const float* row = i < queries ? out.row(first + i) : nullptr;
        float product = 0;
        for (std::int64_t c = 0; i < queries && c < width; ++c) product += d[i * padded + c] * row[c];
        dot[i] = product;
        total[i] = i < queries ? log_sum_exp[first + i] : 0.0f;
      }
      small_gemm(keys, block, padded, {k, padded, 1}, transposed_q, block, scores, block, false, shape.scale);
      small_gemm(keys, block, padded, {v, padded, 1}, transposed_d, block, gradient, block, false, 1.0f);
      gradient_tile(scores, gradient, keys, block, total, dot);
      small_gemm(keys, padded, queries, {scores, block, 1}, d, padded, dv, padded, first > 0, 1.0f);
      small_gemm(keys, padded, queries, {gradient, block, 1}, q, padded, dk, padded, first > 0, shape.scale);
      small_gemm(queries, padded, keys, {gradient, 1, block}, k, padded, dq, padded, false, shape.scale);
      for (std::int64_t i = 0; i < queries; ++i) {
        float* to = gradients.dq.row(first + i);
        for (std::int64_t c = 0; c < width; ++c) to[c] = (begin > 0 ? to[c] : 0.0f) + dq[i * padded + c];
      }
    }
    for (std::int64_t j = 0; j < keys; ++j) {
      std::copy(dk + j * padded, dk + j * padded + width, gradients.dk.row(begin + j));
      std::copy(dv + j * padded, dv + j * padded + width, gradients.dv.row(begin + j));
    }
  }
}

}  // namespace blocktrain::kernels::attention
