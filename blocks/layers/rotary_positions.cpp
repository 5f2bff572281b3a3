#include "blocks/layers/rotary_positions.hpp"

#include <cmath>

#include "kernels/error.hpp"

namespace blocktrain::blocks {

std::vector<double> rotary_angles(std::int64_t first, std::int64_t tokens, std::int64_t head_width, double base) {
  BLOCKTRAIN_EXPECTS(first >= 0 && tokens >= 1 && head_width >= 2 && head_width % 2 == 0 && base > 0);
  const std::int64_t half = head_width / 2;
  std::vector<double> turns(static_cast<std::size_t>(half));
  for (std::int64_t i = 0; i < half; ++i) {
    turns[static_cast<std::size_t>(i)] = std::pow(base, -static_cast<double>(i) / static_cast<double>(half));
  }
  std::vector<double> out(static_cast<std::size_t>(tokens * head_width));
  auto next = out.begin();
  for (std::int64_t position = first; position < first + tokens; ++position) {
    for (std::int64_t i = 0; i < head_width; ++i) {
      const double angle = static_cast<double>(position) * turns[static_cast<std::size_t>(i % half)];
      *next++ = i < half ? std::cos(angle) : std::sin(angle);
    }
  }
  return out;
}

kernels::Tensor bind_rotary_angles(kernels::Arena& arena, kernels::DType dtype, std::int64_t first, std::int64_t tokens,
                                   std::int64_t head_width, double base) {
  const kernels::Tensor out = arena.allocate(kernels::precise(dtype), {tokens, head_width});
  if (!arena.measures_only()) arena.write(out, rotary_angles(first, tokens, head_width, base));
  return out;
}

}  // namespace blocktrain::blocks
