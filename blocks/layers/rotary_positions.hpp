#pragma once
/// The angles by which rotary positions turn queries and keys (Ops::rotary): token t turns the pair i of a head of D
/// numbers by (first + t) * base^(-2i/D).

#include <cstdint>
#include <vector>

#include "kernels/arena.hpp"

namespace blocktrain::blocks {

/// What Llama's networks have.
inline constexpr double rotary_base = 10000;

/// Cosines and sines of positions first .. first + tokens - 1, [tokens, head_width], head_width even.
std::vector<double> rotary_angles(std::int64_t first, std::int64_t tokens, std::int64_t head_width, double base);

/// Takes the table of those positions, of the type that is not rounded.
kernels::Tensor bind_rotary_angles(kernels::Arena& arena, kernels::DType dtype, std::int64_t first, std::int64_t tokens,
                                   std::int64_t head_width, double base);

}  // namespace blocktrain::blocks
