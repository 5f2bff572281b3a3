#include <algorithm>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/philox_lanes.hpp"
#include "kernels/mask_levels.hpp"

namespace blocktrain::kernels {
namespace {

/// order[t] = the random word of position t of a sample, and t below it: what positions are put in order by.
void order_positions(std::uint64_t* order, std::int64_t positions, const RandomKey& key, std::uint32_t step,
                     std::uint32_t sample) {
  constexpr std::int64_t at_once = 4 * philox_lanes;
  PhiloxWords words;
  for (std::int64_t first = 0; first < positions; first += at_once) {
    philox_groups(words, key, step, sample, static_cast<std::uint32_t>(first / 4));
    for (std::int64_t t = first; t < std::min(first + at_once, positions); ++t) {
      order[t] = std::uint64_t{words.word[t % 4][(t - first) / 4]} << 32 | static_cast<std::uint64_t>(t);
    }
  }
}

}  // namespace

void CpuBackend::draw_mask_levels(const Tensor& level, const SigmaInterval* interval, std::int64_t tokens,
                                  const RandomKey& key, const StepState* state, std::uint32_t first_sample,
                                  std::int64_t of_samples) {
  const double u = uniform_open(random_words(key, state->step, 0, 0)[0]);
  const std::int64_t first = std::int64_t{first_sample} * level.row_size(), draws = of_samples * level.row_size();
  float* const out = level.as<float>();
  for (std::int64_t i = 0; i < level.size(); ++i) {
    const std::int64_t m = drawn_masked_tokens(*interval, tokens, u, first + i, draws);
    out[i] = static_cast<float>(m) / static_cast<float>(tokens);
  }
}

void CpuBackend::mask_tokens(const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask,
                             const RandomKey& key, const StepState* state, std::uint32_t first_sample) {
  const std::int64_t all = noisy.dim(1), chunks = level.row_size(), chunk = all / chunks;
  BLOCKTRAIN_EXPECTS(2 * static_cast<std::size_t>(all) <= Workspace::thread_floats);
  std::int32_t* const to = noisy.as<std::int32_t>();
  const std::int32_t* const from = tokens.as<std::int32_t>();
  const float* const levels = level.as<float>();
  parallel_for(threads_, noisy.dim(0), [=, this](std::int64_t n, int thread) {
    auto* const order = reinterpret_cast<std::uint64_t*>(workspace_.thread(thread));
    order_positions(order, all, key, state->step, first_sample + static_cast<std::uint32_t>(n));
    std::copy_n(from + n * all, all, to + n * all);
    for (std::int64_t k = 0; k < chunks; ++k) {
      std::uint64_t* const own = order + k * chunk;
      const std::int64_t m = std::min(masked_tokens(static_cast<double>(levels[n * chunks + k]), chunk), chunk);
      if (m <= 0) continue;
      std::nth_element(own, own + m - 1, own + chunk);
      for (std::int64_t i = 0; i < m; ++i) to[n * all + static_cast<std::int64_t>(own[i] & 0xffffffffu)] = mask;
    }
  });
}

void CpuBackend::list_masked(const Tensor& rows, const Tensor& labels, const Tensor& weights, const Tensor& places,
                             const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask) {
  const std::int64_t room = rows.size(), chunks = level.size(), chunk = noisy.size() / chunks;
  std::int32_t *const row = rows.as<std::int32_t>(), *const label = labels.as<std::int32_t>();
  std::int32_t* const place = places.as<std::int32_t>();
  const std::int32_t *const seen = noisy.as<std::int32_t>(), *const token = tokens.as<std::int32_t>();
  float* const weight = weights.as<float>();
  std::int64_t next = 0;
  for (std::int64_t k = 0; k < chunks; ++k) {
    const auto m = static_cast<double>(masked_tokens(static_cast<double>(level.as<float>()[k]), chunk));
    const auto own = static_cast<float>(1 / (static_cast<double>(level.row_size()) * m));
    for (std::int64_t i = k * chunk; i < (k + 1) * chunk; ++i) {
      place[i] = seen[i] == mask ? static_cast<std::int32_t>(next) : ignored_index;
      if (seen[i] != mask) continue;
      if (next < room) {
        row[next] = static_cast<std::int32_t>(i);
        label[next] = token[i];
        weight[next] = own;
      }
      ++next;
    }
  }
  for (; next < room; ++next) {
    row[next] = label[next] = ignored_index;
    weight[next] = 0;
  }
}

void CpuBackend::sum_listed(const Tensor& out, const Tensor& x, const Tensor& weights, const Tensor& places) {
  const std::int64_t count = places.row_size();
  const float *const from = x.as<float>(), *const weight = weights.as<float>();
  const std::int32_t* const place = places.as<std::int32_t>();
  float* const to = out.as<float>();
  parallel_ranges(threads_, out.size(), rows_per_piece(count), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      double sum = 0;
      for (std::int64_t i = n * count; i < (n + 1) * count; ++i) {
        const std::int32_t m = place[i];
        if (m != ignored_index) sum += static_cast<double>(weight[m]) * static_cast<double>(from[m]);
      }
      to[n] = static_cast<float>(sum);
    }
  });
}

}  // namespace blocktrain::kernels
