#pragma once
/// What the forward and the backward pass of attention share. One (sample, head) is one piece of work. Scores are kept
/// transposed, keys down and queries across, so that the softmax runs over whole registers of queries without sums
/// across lanes; a block of queries times all keys is the most that exists at one time.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/attention.hpp"
#include "kernels/cpu/workspace.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::kernels::attention {

/// Queries of a block; 16 for contexts of 16 tokens and fewer.
inline constexpr std::int64_t largest_query_block = 64;

constexpr std::int64_t round_up_16(std::int64_t n) { return (n + 15) / 16 * 16; }

/// Sizes of a call where every token of a sample attends to every one.
struct Shape {
  std::int64_t samples, tokens, heads, head_width;
  std::int64_t padded_width;   ///< head_width rounded up to 16
  std::int64_t padded_tokens;  ///< tokens rounded up to the query block
  std::int64_t query_block;
  float scale;  ///< 1 / sqrt(head_width)
  /// Long contexts and widths that do not fill registers are copied to contiguous, zero-padded rows first.
  bool packed;

  explicit Shape(const AttentionSizes& s)
      : samples(s.samples), tokens(s.queries), heads(s.heads), head_width(s.head_width) {
    padded_width = round_up_16(head_width);
    query_block = std::min(round_up_16(tokens), largest_query_block);
    padded_tokens = (tokens + query_block - 1) / query_block * query_block;
    scale = 1.0f / std::sqrt(static_cast<float>(head_width));
    packed = tokens > 32 || padded_width != head_width;
  }
  /// Heads of a piece of work: about 50 microseconds, not less.
  std::int64_t heads_per_piece() const { return std::max<std::int64_t>(1, (1 << 17) / (tokens * tokens * head_width)); }
};

/// Scratch floats that the backward pass of a head takes, the larger of the two passes.
constexpr std::int64_t scratch_floats(const Shape& shape) {
  return (2 * shape.padded_tokens + 7 * shape.tokens) * shape.padded_width + 2 * shape.tokens * shape.query_block;
}

/// Rows of one head: row t at data + t * stride, padded_width floats readable.
struct Rows {
  const float* data;
  std::int64_t stride;
};

/// A head's numbers of token t at data + t * stride, head_width of them.
template <class T>
struct HeadRows {
  T* data;
  std::int64_t stride;
  T* row(std::int64_t t) const { return data + t * stride; }
};
/// Those of one head of one sample of a tensor [N,T,C] or [N*T,C].
template <class T>
HeadRows<T> head_rows_of(const Tensor& t, const AttentionSizes& s, std::int64_t sample, std::int64_t head) {
  const TokenStrides strides = token_strides(t, s.samples);
  return {t.as<float>() + sample * strides.sample + head * s.head_width, strides.token};
}
/// What the passes of one head read.
struct HeadInputs {
  HeadRows<const float> q, k, v;
};

/// Where its gradients go.
struct HeadGradients {
  HeadRows<float> dq, dk, dv;
};

/// Hands out consecutive parts of a thread's scratch memory, whose size the caller has checked.
class Scratch {
 public:
  Scratch(const Workspace& workspace, int thread) : next_(workspace.thread(thread)) {}
  float* take(std::int64_t floats) {
    float* p = next_;
    next_ += round_up_16(floats);
    return p;
  }

 private:
  float* next_;
};

/// The rows of one head, where they are or copied to `buffer` as the shape asks.
inline Rows head_rows(const Shape& shape, const HeadRows<const float>& source, float* buffer) {
  if (!shape.packed) return {source.data, source.stride};
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    float* row = buffer + t * shape.padded_width;
    std::copy(source.row(t), source.row(t) + shape.head_width, row);
    std::fill(row + shape.head_width, row + shape.padded_width, 0.0f);
  }
  return {buffer, shape.padded_width};
}

/// out[padded_width][padded_tokens] = the transposed rows; columns beyond the last token are 0.
inline void transpose_rows(const Shape& shape, const Rows& rows, float* out) {
  for (std::int64_t first = 0; first < shape.padded_tokens; first += 16) {
    const std::int64_t count = std::clamp<std::int64_t>(shape.tokens - first, 0, 16);
    for (std::int64_t d = 0; d < shape.padded_width; ++d) {
      float* to = out + d * shape.padded_tokens + first;
      const float* from = rows.data + first * rows.stride + d;
      for (std::int64_t i = 0; i < count; ++i) to[i] = from[i * rows.stride];
      for (std::int64_t i = count; i < 16; ++i) to[i] = 0;
    }
  }
}

/// Whether a call is served by whole heads (attention_forward.cpp, attention_backward.cpp): every token of a sample
/// attends to every one, in as many heads of keys, and a head fits a thread's scratch.
inline bool fits_whole(const AttentionSizes& s, const AttentionForm& form) {
  const bool among_themselves = form.mask.is_full() && s.queries == s.keys && s.heads == s.kv_heads;
  return among_themselves && scratch_floats(Shape(s)) <= static_cast<std::int64_t>(Workspace::thread_floats);
}

}  // namespace blocktrain::kernels::attention
