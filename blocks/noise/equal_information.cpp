#include "blocks/noise/equal_information.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/error.hpp"
#include "kernels/random.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Purpose;
using kernels::random_words;
using kernels::uniform_open;

constexpr int kLevels = 129;

/// Frequencies as logarithms that sum to 1; classes that never come up get minus infinity.
std::vector<double> log_frequencies(const ClassTable& table) {
  const auto classes = static_cast<std::size_t>(table.classes);
  std::vector<double> logs(classes, -std::log(static_cast<double>(table.classes)));
  if (table.frequencies.empty()) return logs;
  BLOCKTRAIN_EXPECTS(table.frequencies.size() == classes);
  double sum = 0;
  for (const double f : table.frequencies) sum += f;
  for (std::size_t v = 0; v < classes; ++v) logs[v] = std::log(table.frequencies[v] / sum);
  return logs;
}

std::vector<float> unit_rows(const ClassTable& table) {
  std::vector<float> rows(table.rows.begin(), table.rows.end());
  for (auto row = rows.begin(); row != rows.end(); row += table.width) {
    double sum = 0;
    std::for_each(row, row + table.width, [&](float x) { sum += static_cast<double>(x) * static_cast<double>(x); });
    std::transform(row, row + table.width, row,
                   [&](float x) { return static_cast<float>(static_cast<double>(x) / std::sqrt(sum)); });
  }
  return rows;
}

/// What a draw of (y, eps) gives each class: z.E_v / sigma^2 = overlap[v] / sigma^2 + noise[v] / sigma.
struct Draw {
  std::vector<double> overlap;  ///< E_y . E_v
  std::vector<double> noise;    ///< eps . E_v
};

double dot(const float* a, const double* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

Draw draw(const ClassTable& table, const std::vector<double>& cumulative, const kernels::RandomKey& key,
          std::uint32_t sample) {
  const double u = uniform_open(random_words(key, 0, sample, 0)[0]) * cumulative.back();
  const auto found = std::ranges::lower_bound(cumulative, u) - cumulative.begin();
  const std::int64_t y = std::min<std::int64_t>(found, table.classes - 1);
  std::vector<double> target(static_cast<std::size_t>(table.width)), eps(static_cast<std::size_t>(table.width));
  for (std::int64_t i = 0; i < table.width; ++i) {
    target[static_cast<std::size_t>(i)] = table.rows[static_cast<std::size_t>(y * table.width + i)];
    // Step 0 has drawn the class.
    const auto words = random_words(key, 1, sample, static_cast<std::uint32_t>(i / 4));
    eps[static_cast<std::size_t>(i)] = kernels::normal_number(words, static_cast<std::size_t>(i % 4));
  }
  Draw d;
  for (std::int64_t v = 0; v < table.classes; ++v) {
    const float* row = table.rows.data() + v * table.width;
    d.overlap.push_back(dot(row, target.data(), table.width));
    d.noise.push_back(dot(row, eps.data(), table.width));
  }
  return d;
}

/// Entropy of softmax(logits), whose largest finite one is `highest`.
double entropy(std::span<const double> logits, double highest) {
  double sum = 0, weighted = 0;
  for (const double logit : logits) {
    const double below = logit - highest, weight = std::exp(below);
    if (weight == 0) continue;
    sum += weight;
    weighted += weight * below;
  }
  return std::log(sum) - weighted / sum;
}

}  // namespace

InformationCurve::InformationCurve(std::vector<double> entropies, double sigma_min, double sigma_max)
    : entropy(std::move(entropies)) {
  BLOCKTRAIN_EXPECTS(entropy.size() >= 2);
  const double from = std::log(sigma_min), to = std::log(sigma_max);
  const auto steps = static_cast<double>(entropy.size() - 1);
  for (std::size_t i = 0; i < entropy.size(); ++i) {
    log_sigma.push_back(from + (to - from) * static_cast<double>(i) / steps);
  }
}

double InformationCurve::sigma_at(double nats) const {
  const auto above = std::ranges::lower_bound(entropy, nats);
  if (above == entropy.begin()) return std::exp(log_sigma.front());
  if (above == entropy.end()) return std::exp(log_sigma.back());
  const auto i = static_cast<std::size_t>(above - entropy.begin());
  const double part = (nats - entropy[i - 1]) / (entropy[i] - entropy[i - 1]);
  return std::exp(log_sigma[i - 1] + part * (log_sigma[i] - log_sigma[i - 1]));
}

double InformationCurve::entropy_at(double sigma) const {
  const double at = std::log(sigma);
  const auto above = std::ranges::lower_bound(log_sigma, at);
  if (above == log_sigma.begin()) return entropy.front();
  if (above == log_sigma.end()) return entropy.back();
  const auto i = static_cast<std::size_t>(above - log_sigma.begin());
  const double part = (at - log_sigma[i - 1]) / (log_sigma[i] - log_sigma[i - 1]);
  return entropy[i - 1] + part * (entropy[i] - entropy[i - 1]);
}

InformationCurve information_curve(const ClassTable& any, double sigma_min, double sigma_max, std::uint64_t seed) {
  BLOCKTRAIN_EXPECTS(any.classes >= 2 && any.width >= 1);
  BLOCKTRAIN_EXPECTS(static_cast<std::int64_t>(any.rows.size()) == any.classes * any.width);
  const std::vector<float> rows = unit_rows(any);
  const ClassTable table{rows, any.classes, any.width, any.frequencies};
  BLOCKTRAIN_EXPECTS(0 < sigma_min && sigma_min < sigma_max);
  const std::vector<double> prior = log_frequencies(table);
  std::vector<double> cumulative;
  double sum = 0;
  for (const double p : prior) cumulative.push_back(sum += std::exp(p));

  InformationCurve curve(std::vector<double>(kLevels), sigma_min, sigma_max);
  const std::int64_t draws = std::clamp<std::int64_t>((std::int64_t{1} << 22) / table.classes, 64, 4096);
  const kernels::RandomKey key{seed, Purpose::partition};
  std::vector<double> logits(static_cast<std::size_t>(table.classes));
  for (std::int64_t sample = 0; sample < draws; ++sample) {
    const Draw d = draw(table, cumulative, key, static_cast<std::uint32_t>(sample));
    for (std::size_t level = 0; level < kLevels; ++level) {
      const double over = std::exp(-curve.log_sigma[level]);
      for (std::size_t v = 0; v < logits.size(); ++v) logits[v] = (d.overlap[v] * over + d.noise[v]) * over + prior[v];
      curve.entropy[level] += entropy(logits, *std::ranges::max_element(logits)) / static_cast<double>(draws);
    }
  }
  // More noise tells less; what goes against it is the error of the mean.
  for (std::size_t i = 1; i < kLevels; ++i) curve.entropy[i] = std::max(curve.entropy[i], curve.entropy[i - 1]);
  return curve;
}

}  // namespace blocktrain::blocks
