#include "comm/rank_order_sum.hpp"

#include <algorithm>
#include <array>

#include "kernels/error.hpp"

namespace blocktrain::comm {

void sum_in_rank_order(float* out, std::span<const float* const> parts, std::size_t count) {
  BLOCKTRAIN_EXPECTS(!parts.empty());
  // Through a small buffer: it stays in the first-level cache over all parts, and `out` may alias any part.
  std::array<float, 1024> sum;
  for (std::size_t begin = 0; begin < count; begin += sum.size()) {
    const std::size_t n = std::min(sum.size(), count - begin);
    std::copy_n(parts[0] + begin, n, sum.begin());
    for (std::size_t part = 1; part < parts.size(); ++part) {
      const float* const values = parts[part] + begin;
      for (std::size_t i = 0; i < n; ++i) sum[i] += values[i];
    }
    std::copy_n(sum.begin(), n, out + begin);
  }
}

}  // namespace blocktrain::comm
