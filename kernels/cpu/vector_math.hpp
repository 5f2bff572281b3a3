#pragma once
/// Elementary functions of float32 as branch-free expressions that compilers vectorise inside a loop marked
/// `#pragma omp simd`. The errors given were measured against double over dense grids (sincos: absolute).

#include <bit>
#include <cstdint>

namespace blocktrain::kernels {

namespace detail {

/// 2^k for integral k in [-126, 127], by building the bits.
inline float power_of_two(std::int32_t k) { return std::bit_cast<float>((k + 127) << 23); }

/// Splits x = k ln 2 + r with |r| <= ln(2)/2, for |x| < 2^21. Adding 1.5*2^23 rounds to an integer, whose value is then
/// in the low bits of the sum.
struct ExpSplit {
  float r;
  std::int32_t k;
};
inline ExpSplit split_exp(float x) {
  constexpr float magic = 12582912.0f;
  const float shifted = x * 1.44269504088896341f + magic;
  const float k = shifted - magic;
  return {(x - k * 0.693145751953125f) - k * 1.42860682030941723e-6f,
          std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(magic)};
}

/// (exp(r) - 1 - r) / r^2 for |r| <= ln(2)/2. This polynomial and the ones below are our own least-maximum fits.
inline float exp_tail(float r) {
  float p = 1.97902977e-4f;
  p = p * r + 1.39447034e-3f;
  p = p * r + 8.33349768e-3f;
  p = p * r + 4.16662954e-2f;
  p = p * r + 1.66666657e-1f;
  p = p * r + 0.5f;
  return p;
}

/// log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)].
inline float log1p_small(float f) {
  float p = 6.74663186e-2f;
  p = p * f - 1.16764516e-1f;
  p = p * f + 1.18885942e-1f;
  p = p * f - 1.24054983e-1f;
  p = p * f + 1.42194867e-1f;
  p = p * f - 1.66679978e-1f;
  p = p * f + 2.00021222e-1f;
  p = p * f - 2.50000089e-1f;
  p = p * f + 3.33333135e-1f;
  const float f2 = f * f;
  return f + (f2 * f * p - 0.5f * f2);
}

}  // namespace detail

/// exp(x), 1.0 ulp. Arguments below -87.3 give 1.2e-38 instead of a denormal or 0, above 88.3 about 2.4e38 instead of
/// infinity.
inline float fast_exp(float x) {
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.3f ? 88.3f : x;
  const detail::ExpSplit s = detail::split_exp(x);
  const float y = (s.r * s.r) * detail::exp_tail(s.r) + s.r + 1.0f;
  return y * detail::power_of_two(s.k);
}

/// tanh(x), 2.4 ulp; through exp(2|x|) - 1 so that small arguments keep their relative accuracy.
inline float fast_tanh(float x) {
  const float a = x < 0 ? -x : x;
  const float t = a > 10.0f ? 20.0f : 2 * a;
  const detail::ExpSplit s = detail::split_exp(t);
  const float scale = detail::power_of_two(s.k);
  const float m1 = scale * ((s.r * s.r) * detail::exp_tail(s.r) + s.r) + (scale - 1.0f);
  const float y = m1 / (m1 + 2.0f);
  return x < 0 ? -y : y;
}

/// 1 / (1 + exp(-x)).
inline float fast_sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

/// log(x) for normal positive x, 0.9 ulp.
inline float fast_log(float x) {
  const std::int32_t bits = std::bit_cast<std::int32_t>(x);
  // Counts from sqrt(1/2), so that the mantissa comes out in [sqrt(1/2), sqrt(2)).
  const std::int32_t k = (bits - 0x3f3504f3) >> 23;
  const float m = std::bit_cast<float>(bits - (k << 23));
  const float e = static_cast<float>(k);
  return (detail::log1p_small(m - 1.0f) + e * -2.12194440e-4f) + e * 0.693359375f;
}

/// log of the uniform number (word + 1/2) 2^-32, 2.4 ulp. Near 1 the distance to 1 is taken from the integer, where a
/// float32 has no bits left for it.
inline float fast_log_uniform(std::uint32_t word) {
  const float u = (static_cast<float>(word) + 0.5f) * 0x1p-32f;
  const float below_one = -((static_cast<float>(~word) + 0.5f) * 0x1p-32f);
  const float near_one = detail::log1p_small(word >= 0xc0000000u ? below_one : 0.0f);
  const float far = fast_log(u);
  return word >= 0xc0000000u ? near_one : far;
}

struct SinCos {
  float sin, cos;
};

namespace detail {

/// sin and cos of quarter turns: angle = (quarter + fraction) * pi/2, |fraction| <= 1/2.
inline SinCos sincos_quarters(std::int32_t quarter, float fraction) {
  const float x = fraction * 1.57079632679489662f;
  const float x2 = x * x;
  float s = -1.9514958e-4f;
  s = s * x2 + 8.33215844e-3f;
  s = s * x2 - 1.66666552e-1f;
  s = s * x2 * x + x;
  float c = 2.44327857e-5f;
  c = c * x2 - 1.3887313e-3f;
  c = c * x2 + 4.16666456e-2f;
  c = c * x2 * x2 - 0.5f * x2 + 1.0f;
  const bool swap = (quarter & 1) != 0;
  const float sine = swap ? c : s;
  const float cosine = swap ? s : c;
  return {(quarter & 2) != 0 ? -sine : sine, ((quarter + 1) & 2) != 0 ? -cosine : cosine};
}

}  // namespace detail

/// sin and cos of 2 pi u for |u| < 2^20 (error 9.2e-8 beside that of u's own last bit).
inline SinCos fast_sincos_2pi(float u) {
  constexpr float magic = 12582912.0f;
  const float turns = 4.0f * u;
  const float shifted = turns + magic;
  const float quarter = shifted - magic;
  return detail::sincos_quarters(std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(magic),
                                 turns - quarter);
}

/// sin and cos of 2 pi (word + 1/2) 2^-32; the reduction is exact, in integers (error 1.1e-7).
inline SinCos fast_sincos_uniform(std::uint32_t word) {
  const std::uint32_t quarter = (word + 0x20000000u) >> 30;
  const std::int32_t rest = static_cast<std::int32_t>(word - (quarter << 30));
  return detail::sincos_quarters(static_cast<std::int32_t>(quarter), (static_cast<float>(rest) + 0.5f) * 0x1p-30f);
}

}  // namespace blocktrain::kernels
