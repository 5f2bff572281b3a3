#pragma once
/// Preconditioning of a denoiser and the weight of its loss (EDM, Karras et al. 2022; method: section 1,
/// preconditioning). The ops apply the same formulas on the device; these are for the host and for tests.
/// s is the noise level sigma, sd is sigma_data.

#include <cmath>
#include <cstdint>

namespace blocktrain::blocks {

/// Share of the noisy input in the denoised estimate: D = c_skip z + c_out F.
inline double c_skip(double s, double sd) { return sd * sd / (s * s + sd * sd); }
/// Scale of the network's output F in the denoised estimate.
inline double c_out(double s, double sd) { return s * sd / std::sqrt(s * s + sd * sd); }
/// Scale that brings the network's noisy input to unit variance.
inline double c_in(double s, double sd) { return 1 / std::sqrt(s * s + sd * sd); }
/// Deviation per component of a row of length 1, as class embeddings are (method: section 1, discrete targets).
inline double unit_row_deviation(std::int64_t width) { return 1 / std::sqrt(static_cast<double>(width)); }
/// The noise level as the network sees it.
inline double c_noise(double s) { return std::log(s) / 4; }
/// Weight of the squared error of D: the error of F then counts alike at every level, for c_out^2 * weight = 1.
inline double loss_weight(double s, double sd) { return (s * s + sd * sd) / (s * sd * s * sd); }

}  // namespace blocktrain::blocks
