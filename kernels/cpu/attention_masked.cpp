#include "kernels/cpu/attention_masked.hpp"

#include <limits>

#include "kernels/cpu/attention_tiles.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/small_gemm.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace blocktrain::kernels::attention {
namespace {

/// Finite, or differences would be those of infinities.
constexpr float lowest = std::numeric_limits<float>::lowest() / 2;

/// What a block of queries sees.
struct Seen {
  Seen(const AttentionMask& mask, std::int64_t first, std::int64_t count, std::int64_t keys) {
    for (std::int64_t i = 0; i < largest_query_block; ++i) {
      const TokenRange range = i < count ? mask.keys_of(first + i, keys) : TokenRange{};
      begin[i] = static_cast<std::int32_t>(range.begin);
      end[i] = static_cast<std::int32_t>(range.end);
    }
    // Neither end falls from one query to the next.
    const TokenRange of_first = mask.keys_of(first, keys), of_last = mask.keys_of(first + count - 1, keys);
    all = {of_first.begin, of_last.end};
    every = {of_last.begin, of_first.end};
  }
  /// Whether every one of them sees the keys of a tile.
  bool by_all(std::int64_t first, std::int64_t keys) const { return every.begin <= first && first + keys <= every.end; }
  std::int32_t begin[largest_query_block], end[largest_query_block];
  TokenRange all;    ///< of any of them
  TokenRange every;  ///< of each of them
};

/// Whether query `lane` sees the key; not asked where all of them do.
template <bool masked>
bool sees([[maybe_unused]] const std::int32_t* begin, [[maybe_unused]] const std::int32_t* end,
          [[maybe_unused]] std::int32_t key, [[maybe_unused]] std::int64_t lane) {
  if constexpr (masked) {
    return (key >= begin[lane]) & (key < end[lane]);
  } else {
    return true;
  }
}

/// The softmax of a block of queries goes on over a tile of scores[keys][queries], the first of them key `first`: they
/// become their exponentials over the new `largest`, 0 where the query does not see the key, and `factor` says by what
/// everything summed before shrinks.
template <bool masked>
void softmax_tile(float* scores, std::int32_t first, std::int64_t keys, std::int64_t queries, const Seen& seen,
                  float* largest, float* sum, float* factor) {
  for (std::int64_t lane = 0; lane < queries; lane += 16) {
    const std::int32_t *const begin = seen.begin + lane, *const end = seen.end + lane;
    float most[16], total[16];
    for (int l = 0; l < 16; ++l) most[l] = largest[lane + l];
    for (std::int64_t j = 0; j < keys; ++j) {
      const float* row = scores + j * queries + lane;
      const std::int32_t key = first + static_cast<std::int32_t>(j);
#pragma omp simd
      for (int l = 0; l < 16; ++l) {
        const float score = sees<masked>(begin, end, key, l) ? row[l] : lowest;
        most[l] = score > most[l] ? score : most[l];
      }
    }
#pragma omp simd
    for (int l = 0; l < 16; ++l) {
      factor[lane + l] = fast_exp(largest[lane + l] - most[l]);
      total[l] = 0;
    }
    for (std::int64_t j = 0; j < keys; ++j) {
      float* row = scores + j * queries + lane;
      const std::int32_t key = first + static_cast<std::int32_t>(j);
#pragma omp simd
      for (int l = 0; l < 16; ++l) {
        const float p = sees<masked>(begin, end, key, l) ? fast_exp(row[l] - most[l]) : 0.0f;
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
/// the scores before scaling, p * (dp - dot), where `dot` is sum_j p dp over all keys of all parts.
template <bool masked>
void gradient_tile(float* scores, float* gradient, std::int32_t first, std::int64_t keys, std::int64_t queries,
                   const Seen& seen, const float* log_sum_exp, const float* dot) {
  for (std::int64_t j = 0; j < keys; ++j) {
    float* s = scores + j * queries;
    float* g = gradient + j * queries;
    const std::int32_t key = first + static_cast<std::int32_t>(j);
#pragma omp simd
    for (std::int64_t l = 0; l < queries; ++l) {
      const float p = sees<masked>(seen.begin, seen.end, key, l) ? fast_exp(s[l] - log_sum_exp[l]) : 0.0f;
      s[l] = p;
      g[l] = p * (g[l] - dot[l]);
    }
  }
}

/// Sizes of a call with what tiles need.
struct Cut {
  explicit Cut(const AttentionSizes& s)
      : width(s.head_width),
        padded(round_up_16(s.head_width)),
        tiles(tiles_of(padded)),
        scale(1.0f / std::sqrt(static_cast<float>(s.head_width))) {
    BLOCKTRAIN_EXPECTS(width <= widest_head);
  }
  std::int64_t width, padded;
  Tiles tiles;
  float scale;
};

void forward_head(const AttentionSizes& s, const Cut& cut, const AttentionMask& mask, Scratch scratch,
                  const HeadInputs& in, const HeadRows<float>& out, float* log_sum_exp) {
  const std::int64_t padded = cut.padded, width = cut.width, block = cut.tiles.queries;
  float* k = scratch.take(cut.tiles.keys * padded);
  float* v = scratch.take(cut.tiles.keys * padded);
  float* scores = scratch.take(cut.tiles.keys * block);
  float* q = scratch.take(block * padded);
  float* transposed = scratch.take(padded * block);
  float* result = scratch.take(block * padded);
  float* largest = scratch.take(block);
  float* sum = scratch.take(block);
  float* factor = scratch.take(block);
  for (std::int64_t first = 0; first < s.queries; first += block) {
    const std::int64_t queries = std::min(block, s.queries - first);
    const Seen seen(mask, first, queries, s.keys);
    copy_rows(in.q, first, queries, width, padded, q);
    transpose(q, queries, block, padded, transposed);
    std::fill(largest, largest + block, lowest);
    std::fill(sum, sum + block, 0.0f);
    std::fill(result, result + queries * padded, 0.0f);
    for (std::int64_t begin = seen.all.begin; begin < seen.all.end; begin += cut.tiles.keys) {
      const std::int64_t keys = std::min(cut.tiles.keys, seen.all.end - begin);
      copy_rows(in.k, begin, keys, width, padded, k);
      copy_rows(in.v, begin, keys, width, padded, v);
      small_gemm(keys, block, padded, {k, padded, 1}, transposed, block, scores, block, false, cut.scale);
      const auto softmax = seen.by_all(begin, keys) ? softmax_tile<false> : softmax_tile<true>;
      softmax(scores, static_cast<std::int32_t>(begin), keys, block, seen, largest, sum, factor);
      for (std::int64_t i = 0; i < queries; ++i) {
        float* row = result + i * padded;
#pragma omp simd
        for (std::int64_t d = 0; d < padded; ++d) row[d] *= factor[i];
      }
      small_gemm(queries, padded, keys, {scores, 1, block}, v, padded, result, padded, true, 1.0f);
    }
    for (std::int64_t i = 0; i < queries; ++i) {
      const bool none = seen.begin[i] == seen.end[i];
      const float inverse = none ? 0.0f : 1.0f / sum[i];
      float* row = out.row(first + i);
#pragma omp simd
      for (std::int64_t d = 0; d < width; ++d) row[d] = result[i * padded + d] * inverse;
      log_sum_exp[first + i] = none ? -std::numeric_limits<float>::infinity() : largest[i] + fast_log(sum[i]);
    }
  }
}

/// One head of keys of one sample, with the heads of queries that read it.
void backward_group(const AttentionSizes& s, const Cut& cut, const AttentionMask& mask, Scratch scratch,
                    const MaskedGradient& gradients, std::int64_t n, std::int64_t kv_head, const Tensor& dout_all,
                    const Tensor& out_all, const float* log_sum_exp, const Tensor& q_all, const Tensor& k_all,
                    const Tensor& v_all) {
  const std::int64_t padded = cut.padded, width = cut.width, block = cut.tiles.queries, group = s.heads / s.kv_heads;
  float* k = scratch.take(cut.tiles.keys * padded);
  float* v = scratch.take(cut.tiles.keys * padded);
  float* dk = scratch.take(cut.tiles.keys * padded);
  float* dv = scratch.take(cut.tiles.keys * padded);
  float* scores = scratch.take(cut.tiles.keys * block);
  float* gradient = scratch.take(cut.tiles.keys * block);
  float* q = scratch.take(block * padded);
  float* d = scratch.take(block * padded);
  float* transposed_q = scratch.take(padded * block);
  float* transposed_d = scratch.take(padded * block);
  float* dq = scratch.take(block * padded);
  float* dot = scratch.take(block);
  float* total = scratch.take(block);
  const auto reads = [&](const Tensor& t, std::int64_t head) { return head_rows_of<const float>(t, s, n, head); };
  const auto writes = [&](const Tensor& t, std::int64_t head) { return head_rows_of<float>(t, s, n, head); };
  if (gradients.write_dq == GradientWrite::replace) {
    for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      const HeadRows<float> rows = writes(gradients.dq, h);
      for (std::int64_t i = 0; i < s.queries; ++i) std::fill(rows.row(i), rows.row(i) + width, 0.0f);
    }
  }
  const HeadRows<const float> k_rows = reads(k_all, kv_head), v_rows = reads(v_all, kv_head);
  const HeadRows<float> dk_rows = writes(gradients.dk, kv_head), dv_rows = writes(gradients.dv, kv_head);
  for (std::int64_t begin = 0; begin < s.keys; begin += cut.tiles.keys) {
    const std::int64_t keys = std::min(cut.tiles.keys, s.keys - begin);
    copy_rows(k_rows, begin, keys, width, padded, k);
    copy_rows(v_rows, begin, keys, width, padded, v);
    bool seen_before = false;  // by a block of queries, which then wrote to dk and dv
    for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      const HeadRows<const float> q_rows = reads(q_all, h), d_rows = reads(dout_all, h), o_rows = reads(out_all, h);
      const HeadRows<float> dq_rows = writes(gradients.dq, h);
      const float* const sums = log_sum_exp + (n * s.heads + h) * s.queries;
      for (std::int64_t first = 0; first < s.queries; first += block) {
        const std::int64_t queries = std::min(block, s.queries - first);
        const Seen seen(mask, first, queries, s.keys);
        if (seen.all.begin >= begin + keys || seen.all.end <= begin) continue;
        copy_rows(q_rows, first, queries, width, padded, q);
        copy_rows(d_rows, first, queries, width, padded, d);
        transpose(q, queries, block, padded, transposed_q);
        transpose(d, queries, block, padded, transposed_d);
        for (std::int64_t i = 0; i < block; ++i) {
          // sum_j p dp = sum_d dout out: known before all keys have been seen.
          const float* row = i < queries ? o_rows.row(first + i) : nullptr;
          float product = 0;
          for (std::int64_t c = 0; i < queries && c < width; ++c) product += d[i * padded + c] * row[c];
          dot[i] = product;
          total[i] = i < queries ? sums[first + i] : 0.0f;
        }
        small_gemm(keys, block, padded, {k, padded, 1}, transposed_q, block, scores, block, false, cut.scale);
        small_gemm(keys, block, padded, {v, padded, 1}, transposed_d, block, gradient, block, false, 1.0f);
        const auto through_softmax = seen.by_all(begin, keys) ? gradient_tile<false> : gradient_tile<true>;
        through_softmax(scores, gradient, static_cast<std::int32_t>(begin), keys, block, seen, total, dot);
        small_gemm(keys, padded, queries, {scores, block, 1}, d, padded, dv, padded, seen_before, 1.0f);
        small_gemm(keys, padded, queries, {gradient, block, 1}, q, padded, dk, padded, seen_before, cut.scale);
        seen_before = true;
        small_gemm(queries, padded, keys, {gradient, 1, block}, k, padded, dq, padded, false, cut.scale);
        for (std::int64_t i = 0; i < queries; ++i) {
          float* to = dq_rows.row(first + i);
          for (std::int64_t c = 0; c < width; ++c) to[c] += dq[i * padded + c];
        }
      }
    }
    if (!seen_before) {
      std::fill(dk, dk + keys * padded, 0.0f);
      std::fill(dv, dv + keys * padded, 0.0f);
    }
    const bool add = gradients.write_dkv == GradientWrite::add;
    for (std::int64_t j = 0; j < keys; ++j) {
      float *const to_k = dk_rows.row(begin + j), *const to_v = dv_rows.row(begin + j);
      for (std::int64_t c = 0; c < width; ++c) to_k[c] = (add ? to_k[c] : 0.0f) + dk[j * padded + c];
      for (std::int64_t c = 0; c < width; ++c) to_v[c] = (add ? to_v[c] : 0.0f) + dv[j * padded + c];
    }
  }
}

/// Pieces of about 50 microseconds, not less, of `work` multiplications each.
std::int64_t at_once(std::int64_t work) { return std::max<std::int64_t>(1, (1 << 17) / work); }

}  // namespace

void forward_masked(int threads, const Workspace& workspace, const AttentionSizes& s, const AttentionMask& mask,
                    const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k, const Tensor& v) {
  const Cut cut(s);
  float* const sums = log_sum_exp.as<float>();
  parallel_ranges(threads, s.samples * s.heads, at_once(s.queries * s.keys * s.head_width),
                  [&](std::int64_t begin, std::int64_t end, int thread) {
                    for (std::int64_t i = begin; i < end; ++i) {
                      const std::int64_t n = i / s.heads, h = i % s.heads, kv_head = h / (s.heads / s.kv_heads);
                      const HeadInputs in{head_rows_of<const float>(q, s, n, h),
                                          head_rows_of<const float>(k, s, n, kv_head),
                                          head_rows_of<const float>(v, s, n, kv_head)};
                      forward_head(s, cut, mask, Scratch(workspace, thread), in, head_rows_of<float>(out, s, n, h),
                                   sums + i * s.queries);
                    }
                  });
}

void backward_masked(int threads, const Workspace& workspace, const AttentionSizes& s, const AttentionMask& mask,
                     const MaskedGradient& gradient, const Tensor& dout, const Tensor& out, const Tensor& log_sum_exp,
                     const Tensor& q, const Tensor& k, const Tensor& v) {
  const Cut cut(s);
  const float* const sums = log_sum_exp.as<float>();
  parallel_ranges(threads, s.samples * s.kv_heads, at_once(s.queries * s.keys * s.head_width * s.heads / s.kv_heads),
                  [&](std::int64_t begin, std::int64_t end, int thread) {
                    for (std::int64_t i = begin; i < end; ++i) {
                      backward_group(s, cut, mask, Scratch(workspace, thread), gradient, i / s.kv_heads, i % s.kv_heads,
                                     dout, out, sums, q, k, v);
                    }
                  });
}

}  // namespace blocktrain::kernels::attention
