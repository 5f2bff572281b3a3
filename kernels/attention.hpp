#pragma once
/// What attention takes beside its tensors: heads, and which keys a query sees.

#include <cstdint>

#include "kernels/random.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::kernels {

/// Places [begin, end); none where they are equal.
struct TokenRange {
  std::int64_t begin = 0, end = 0;
};

/// Which keys a query sees: one range of neighbours, from a few integers, so that no matrix of queries and keys exists.
/// Both are cut into chunks of `chunk` tokens; query i belongs to chunk (i + offset) / chunk and sees the chunks before
/// it, its own, or both. What needs two ranges (a noisy chunk beside the clean ones before it) is two calls, merged by
/// Ops::attention_merge.
struct AttentionMask {
  std::int64_t chunk = 0;   ///< tokens of a chunk; 0: every query sees every key
  std::int64_t offset = 0;  ///< place of query 0 among the keys, at least 0
  bool before = true;       ///< the keys of chunks before the query's own are seen
  bool own = true;          ///< the keys of its own chunk are

  static constexpr AttentionMask full() { return {}; }
  /// Key j when j <= i + offset.
  static constexpr AttentionMask causal(std::int64_t offset = 0) { return {1, offset, true, true}; }
  /// Block diffusion (method: section 6): clean queries see clean chunks up to their own, ..
  static constexpr AttentionMask up_to_own_chunk(std::int64_t chunk, std::int64_t offset = 0) {
    return {chunk, offset, true, true};
  }
  /// .. noisy ones clean chunks before theirs, ..
  static constexpr AttentionMask before_own_chunk(std::int64_t chunk, std::int64_t offset = 0) {
    return {chunk, offset, true, false};
  }
  /// .. and their own noisy chunk; with chunks of one token each query its own key alone (`autoregressive`).
  static constexpr AttentionMask own_chunk(std::int64_t chunk, std::int64_t offset = 0) {
    return {chunk, offset, false, true};
  }

  constexpr bool is_full() const { return chunk == 0; }
  /// The keys of `keys` that query i sees. Neither end falls from one query to the next.
  BLOCKTRAIN_HOST_DEVICE constexpr TokenRange keys_of(std::int64_t i, std::int64_t keys) const {
    if (chunk == 0) return {0, keys};
    const std::int64_t first = (i + offset) / chunk * chunk;
    return clamped(before ? 0 : first, own ? first + chunk : first, keys);
  }
  /// The queries of `queries` that see key j: the same, asked from the other side.
  BLOCKTRAIN_HOST_DEVICE constexpr TokenRange queries_of(std::int64_t j, std::int64_t queries) const {
    if (chunk == 0) return {0, queries};
    const std::int64_t first = j / chunk * chunk - offset;
    return clamped(own ? first : first + chunk, before ? queries : own ? first + chunk : 0, queries);
  }

 private:
  BLOCKTRAIN_HOST_DEVICE static constexpr TokenRange clamped(std::int64_t begin, std::int64_t end, std::int64_t most) {
    begin = begin < 0 ? 0 : begin > most ? most : begin;
    end = end < begin ? begin : end > most ? most : end;
    return {begin, end};
  }
};

struct AttentionForm {
  int heads = 1;
  /// Heads of keys and values: query head h reads number h / (heads / kv_heads) (grouped queries).
  int kv_heads = 1;
  AttentionMask mask;
  /// Of the gradient alone: out and log_sum_exp are those of several parts, merged; the keys here are one of them.
  bool merged = false;
};

/// How far samples and tokens are apart in a tensor [N,T,C], whose samples may be apart, or [N*T,C], whose rows may be.
struct TokenStrides {
  std::int64_t sample = 0, token = 0;
};
constexpr std::int64_t samples_of(const Tensor& t, std::int64_t tokens) {
  return t.rank == 3 ? t.shape[0] : t.shape[0] / tokens;
}
constexpr std::int64_t tokens_of(const Tensor& t, std::int64_t samples) {
  return t.rank == 3 ? t.shape[1] : t.shape[0] / samples;
}
constexpr std::int64_t token_width(const Tensor& t) { return t.rank == 3 ? t.shape[2] : t.shape[1]; }
constexpr TokenStrides token_strides(const Tensor& t, std::int64_t samples) {
  return t.rank == 3 ? TokenStrides{t.shape[0] == 1 ? t.row_size() : t.row_stride, t.shape[2]}
                     : TokenStrides{tokens_of(t, samples) * t.row_stride, t.row_stride};
}

/// Part `part` of `parts` equal ones of the columns of packed[N,T,parts*C], as [N*T,C]: q, k or v of one product.
inline Tensor packed_part(const Tensor& packed, int part, int parts = 3) {
  const std::int64_t width = packed.dim(2) / parts;
  return packed.reshaped({packed.dim(0) * packed.dim(1), packed.dim(2)}).columns(part * width, (part + 1) * width);
}

/// The sizes of a call, from log_sum_exp[N,heads,queries], q and k.
struct AttentionSizes {
  AttentionSizes(const Tensor& log_sum_exp, const Tensor& q, const Tensor& k, const AttentionForm& form)
      : samples(log_sum_exp.dim(0)),
        queries(log_sum_exp.dim(2)),
        keys(tokens_of(k, samples)),
        heads(form.heads),
        kv_heads(form.kv_heads),
        head_width(token_width(q) / heads) {}
  std::int64_t samples, queries, keys, heads, kv_heads, head_width;
};

}  // namespace blocktrain::kernels
