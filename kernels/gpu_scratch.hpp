#pragma once
/// Device memory that ops on a GPU take beside the arenas, so that a plan can count it. What CUDA itself, its loaded
/// kernels and graphs take is not in it.

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace blocktrain::kernels {

/// For partial sums of our kernels, and for cuBLASLt: what the fastest products of a Hopper GPU ask for.
inline constexpr std::size_t shared_scratch_bytes = std::size_t{32} << 20;
/// Column sums that cuBLASLt leaves beside a product.
inline constexpr std::size_t most_column_sums = std::size_t{64} << 10;
/// Both.
inline constexpr std::size_t ops_scratch_bytes = shared_scratch_bytes + most_column_sums * sizeof(float);

/// Most that attention's deterministic gradient takes; larger batches go through it in parts, with the same bits.
inline constexpr std::size_t most_attention_scratch = std::size_t{256} << 20;

/// What that gradient takes for one sample: a matrix of bfloat16 numbers between rounded-up tokens for every head, and
/// a float32 sum of every row (of cuDNN up to 9.24, as its frontend computes it).
constexpr std::int64_t attention_scratch_of_sample(std::int64_t heads, std::int64_t tokens) {
  const auto round_up = [](std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; };
  return heads * (round_up(tokens, 64) * round_up(tokens, 128) * 2 + tokens * 4);
}
/// And besides.
inline constexpr std::int64_t attention_scratch_of_call = 256;

/// For `samples` samples.
constexpr std::int64_t attention_scratch(std::int64_t samples, std::int64_t heads, std::int64_t tokens) {
  return samples * attention_scratch_of_sample(heads, tokens) + attention_scratch_of_call;
}

/// Samples of `samples` that it takes at a time: parts of one size, or nearly.
constexpr std::int64_t attention_samples_at_once(std::int64_t samples, std::int64_t heads, std::int64_t tokens) {
  constexpr std::int64_t room = static_cast<std::int64_t>(most_attention_scratch) - attention_scratch_of_call;
  const std::int64_t most = std::clamp<std::int64_t>(room / attention_scratch_of_sample(heads, tokens), 1, samples);
  const std::int64_t parts = (samples + most - 1) / most;
  return (samples + parts - 1) / parts;
}

}  // namespace blocktrain::kernels
