#include "trainer/tasks/tokens/unmasking.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/error.hpp"
#include "kernels/random.hpp"

namespace blocktrain::trainer {
namespace {

/// Two words as a number in the open interval (0, 1), with all the digits of a double.
double uniform_of(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = (std::uint64_t{high} << 32 | low) >> 11;
  return (static_cast<double>(bits) + 0.5) * 0x1p-53;
}

}  // namespace

TokenDraw::Drawn TokenDraw::draw(std::span<const float> logits, double uniform) {
  const auto largest = std::max_element(logits.begin(), logits.end());
  // The sum of weights at a temperature; they stay in weights_.
  const auto weigh = [&](double temperature) {
    weights_.resize(logits.size());
    double sum = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      weights_[i] = std::exp((static_cast<double>(logits[i]) - *largest) / temperature);
      sum += weights_[i];
    }
    return sum;
  };
  double sum = weigh(1);
  if (!std::isfinite(sum)) {
    throw RunError("the network's logits are not numbers: it did not learn, or its weights are damaged");
  }
  const auto probability = [&, all = sum](std::int32_t token) {
    return std::exp(static_cast<double>(logits[static_cast<std::size_t>(token)]) - *largest) / all;
  };
  if (temperature_ == 0) {
    const auto token = static_cast<std::int32_t>(largest - logits.begin());
    return {token, probability(token)};
  }

  if (temperature_ != 1) sum = weigh(temperature_);
  std::size_t kept = logits.size();
  if (top_p_ < 1) {
    order_.resize(logits.size());
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(), [this](std::int32_t a, std::int32_t b) {
      return weights_[static_cast<std::size_t>(a)] > weights_[static_cast<std::size_t>(b)];
    });
    double likeliest = 0;
    kept = 0;
    while (kept < order_.size() && (kept == 0 || likeliest < top_p_ * sum)) {
      likeliest += weights_[static_cast<std::size_t>(order_[kept++])];
    }
    sum = likeliest;
  }
  const auto token_at = [&](std::size_t i) { return top_p_ < 1 ? order_[i] : static_cast<std::int32_t>(i); };
  double left = uniform * sum;
  std::int32_t drawn = token_at(0);
  for (std::size_t i = 0; i < kept; ++i) {
    const std::int32_t token = token_at(i);
    const double weight = weights_[static_cast<std::size_t>(token)];
    if (weight == 0) continue;
    drawn = token;  // the last with a weight, where rounding leaves something over
    left -= weight;
    if (left < 0) break;
  }
  return {drawn, probability(drawn)};
}

void unmask(std::span<std::int32_t> tokens, std::span<const float> logits, std::int32_t mask, std::int64_t count,
            const UnmaskingSettings& settings, std::uint32_t sample, std::uint32_t step) {
  const std::size_t vocabulary = logits.size() / tokens.size();
  const std::size_t drawable = settings.drawn == 0 ? vocabulary : static_cast<std::size_t>(settings.drawn);
  const kernels::RandomKey key{settings.seed, kernels::Purpose::sampling, 0};
  struct Candidate {
    std::size_t place;
    std::int32_t token;
    double rank;  ///< the largest are written
  };
  TokenDraw draw(settings.temperature, settings.top_p);
  const auto drawn_at = [&](std::size_t place) {
    const auto words = kernels::random_words(key, step, sample, static_cast<std::uint32_t>(place));
    return draw.draw(logits.subspan(place * vocabulary, drawable), uniform_of(words[0], words[1]));
  };

  std::vector<Candidate> candidates;
  for (std::size_t place = 0; place < tokens.size(); ++place) {
    if (tokens[place] != mask) continue;
    if (settings.order == UnmaskingOrder::confidence) {
      const TokenDraw::Drawn drawn = drawn_at(place);
      candidates.push_back({place, drawn.token, drawn.probability});
    } else {
      const auto words = kernels::random_words(key, step, sample, static_cast<std::uint32_t>(place));
      candidates.push_back({place, 0, uniform_of(words[2], words[3])});
    }
  }
  BLOCKTRAIN_EXPECTS(count >= 0 && count <= static_cast<std::int64_t>(candidates.size()));
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.rank > b.rank; });
  for (std::int64_t i = 0; i < count; ++i) {
    const Candidate& c = candidates[static_cast<std::size_t>(i)];
    tokens[c.place] = settings.order == UnmaskingOrder::confidence ? c.token : drawn_at(c.place).token;
  }
}

}  // namespace blocktrain::trainer
