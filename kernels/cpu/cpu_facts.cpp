#include "kernels/cpu/cpu_facts.hpp"

#include "kernels/cpu/attention_tiles.hpp"
#include "kernels/cpu/workspace.hpp"

namespace blocktrain::kernels {

std::string cpu_matrix_products() {
#if defined(__AVX512F__)
  return "own packed kernels, AVX-512";
#elif defined(__AVX2__) && defined(__FMA__)
  return "own packed kernels, AVX2";
#else
  return "own packed kernels, no AVX2: build with BLOCKTRAIN_CPU_ARCH for this machine to be faster";
#endif
}

std::int64_t cpu_attention_widest_head() { return attention::widest_head; }

bool cpu_attention_serves(std::int64_t tokens, std::int64_t head_width) {
  const Tensor sums(nullptr, DType::float32, {1, 1, tokens}), rows(nullptr, DType::float32, {1, tokens, head_width});
  return attention::fits_whole(AttentionSizes(sums, rows, rows, {}), {}) || head_width <= attention::widest_head;
}

std::size_t cpu_scratch_bytes(int threads) {
  return (Workspace::shared_floats + static_cast<std::size_t>(threads) * Workspace::thread_floats) * sizeof(float);
}

}  // namespace blocktrain::kernels
