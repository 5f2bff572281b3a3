#pragma once
/// What the CPU ops of this build compute with and take, for `blocktrain doctor` and the check of memory.

#include <cstddef>
#include <cstdint>
#include <string>

namespace blocktrain::kernels {

/// What matrix products are computed with, e.g. "own packed kernels, AVX-512, 16 floats at a time".
std::string cpu_matrix_products();
/// The widest head of attention that the CPU ops compute for any number of tokens, and whether they compute one.
std::int64_t cpu_attention_widest_head();
bool cpu_attention_serves(std::int64_t tokens, std::int64_t head_width);
/// Bytes that CPU ops on `threads` threads map as scratch. How many of them are touched depends on the shapes.
std::size_t cpu_scratch_bytes(int threads);

}  // namespace blocktrain::kernels
