#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;
namespace {

/// The random word of a position in a sample.
std::uint32_t word_of(const RandomKey& key, std::uint32_t step, std::uint32_t sample, Index position) {
  const auto words = random_words(key, step, sample, static_cast<std::uint32_t>(position / 4));
  return words[static_cast<std::size_t>(position % 4)];
}

}  // namespace

void ReferenceBackend::draw_mask_levels(const Tensor& level, const SigmaInterval* interval, std::int64_t tokens,
                                        const RandomKey& key, const StepState* state, std::uint32_t first_sample,
                                        std::int64_t of_samples) {
  const auto all = static_cast<double>(tokens);
  const double lo = std::round(interval->lo * all), count = std::round(interval->hi * all) - lo;
  const double u = uniform_open(random_words(key, state->step, 0, 0)[0]);
  for (Index n = 0; n < level.shape[0]; ++n) {
    for (Index k = 0; k < level.row_size(); ++k) {
      const Index draw = (Index{first_sample} + n) * level.row_size() + k, draws = of_samples * level.row_size();
      double whole;
      const double part = std::modf(u + static_cast<double>(draw) / static_cast<double>(draws), &whole);
      at(level, n, k) = (lo + 1 + std::floor(count * part)) / all;
    }
  }
}

void ReferenceBackend::mask_tokens(const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask,
                                   const RandomKey& key, const StepState* state, std::uint32_t first_sample) {
  const Index all = noisy.shape[1], chunk = all / level.row_size();
  for (Index n = 0; n < noisy.shape[0]; ++n) {
    const std::uint32_t sample = first_sample + static_cast<std::uint32_t>(n);
    for (Index t = 0; t < all; ++t) {
      // How many positions of its chunk come before this one, by their words, then by their places.
      const std::uint32_t own = word_of(key, state->step, sample, t);
      const Index k = t / chunk;
      Index before = 0;
      for (Index other = k * chunk; other < (k + 1) * chunk; ++other) {
        const std::uint32_t word = word_of(key, state->step, sample, other);
        before += word < own || (word == own && other < t) ? 1 : 0;
      }
      const auto masked = static_cast<Index>(std::lround(at(level, n, k) * static_cast<double>(chunk)));
      noisy.as<std::int32_t>()[n * all + t] = before < masked ? mask : tokens.as<std::int32_t>()[n * all + t];
    }
  }
}

void ReferenceBackend::list_masked(const Tensor& rows, const Tensor& labels, const Tensor& weights,
                                   const Tensor& places, const Tensor& noisy, const Tensor& tokens, const Tensor& level,
                                   std::int32_t mask) {
  const Index all = noisy.shape[1], chunk = all / level.row_size();
  for (Index m = 0; m < rows.size(); ++m) {
    rows.as<std::int32_t>()[m] = labels.as<std::int32_t>()[m] = ignored_index;
    at(weights, m) = 0;
  }
  Index next = 0;
  for (Index row = 0; row < noisy.size(); ++row) {
    std::int32_t& place = places.as<std::int32_t>()[row];
    place = ignored_index;
    if (noisy.as<std::int32_t>()[row] != mask) continue;
    const Index m = next++;
    place = static_cast<std::int32_t>(m);
    if (m >= rows.size()) continue;
    rows.as<std::int32_t>()[m] = static_cast<std::int32_t>(row);
    labels.as<std::int32_t>()[m] = tokens.as<std::int32_t>()[row];
    const double masked = std::round(at(level, row / all, row % all / chunk) * static_cast<double>(chunk));
    at(weights, m) = 1 / (static_cast<double>(level.row_size()) * masked);
  }
}

void ReferenceBackend::sum_listed(const Tensor& out, const Tensor& x, const Tensor& weights, const Tensor& places) {
  for (Index n = 0; n < out.size(); ++n) {
    at(out, n) = 0;
    for (Index t = 0; t < places.row_size(); ++t) {
      const Index m = places.as<std::int32_t>()[n * places.row_size() + t];
      if (m != ignored_index) at(out, n) += at(weights, m) * at(x, m);
    }
  }
}

}  // namespace blocktrain::kernels
