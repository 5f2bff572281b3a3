#pragma once
/// One step of finding masked tokens: which of them are written, and as what. In double throughout: single precision
/// lowers the temperature of a softmax over many tokens without saying so.

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/names.hpp"

namespace blocktrain::trainer {

/// Which masked tokens are written first.
enum class UnmaskingOrder : std::uint8_t {
  chance,      ///< any of them, as the objective has it
  confidence,  ///< those whose drawn token the network holds most probable
};
constexpr auto name_table(UnmaskingOrder) { return names_up_to<UnmaskingOrder::confidence>("chance", "confidence"); }

struct UnmaskingSettings {
  double temperature = 1;  ///< of the softmax; 0: the likeliest token
  double top_p = 1;        ///< tokens are drawn from the likeliest that have this probability together
  UnmaskingOrder order = UnmaskingOrder::chance;
  std::uint64_t seed = 0;
  std::int64_t drawn = 0;  ///< ids below it are drawn; 0: all that have a logit
};

/// Draws tokens at one temperature and top-p; keeps its memory from call to call.
class TokenDraw {
 public:
  TokenDraw(double temperature, double top_p) : temperature_(temperature), top_p_(top_p) {}

  struct Drawn {
    std::int32_t token = 0;
    double probability = 0;  ///< that the network gives it, at temperature 1
  };
  /// The token at `uniform`, in (0, 1), of the distribution that `logits` stand for. Equal logits count from the lowest
  /// token. Throws RunError where they are not numbers.
  Drawn draw(std::span<const float> logits, double uniform);

 private:
  double temperature_, top_p_;
  std::vector<double> weights_;
  std::vector<std::int32_t> order_;
};

/// Writes `count` of the tokens of a window that are `mask`; logits [tokens, vocabulary]. What is drawn is keyed by the
/// seed, `sample` and `step`, and each token by its place. Throws RunError as TokenDraw::draw.
void unmask(std::span<std::int32_t> tokens, std::span<const float> logits, std::int32_t mask, std::int64_t count,
            const UnmaskingSettings& settings, std::uint32_t sample, std::uint32_t step);

}  // namespace blocktrain::trainer
