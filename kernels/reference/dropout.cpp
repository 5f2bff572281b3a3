#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_ops.hpp"

namespace blocktrain::kernels {
using namespace reference;

void ReferenceOps::dropout(const Tensor& out, const Tensor& x, double p, const RandomKey& key, const StepState* state,
                           std::uint32_t first_sample) {
  BLOCKTRAIN_EXPECTS(same_rows(out, x) && p >= 0 && p < 1);
  for (Index n = 0; n < x.shape[0]; ++n) {
    for (Index e = 0; e < x.row_size(); ++e) {
      const auto words = random_words(key, state->step, first_sample + static_cast<std::uint32_t>(n),
                                      static_cast<std::uint32_t>(e / 4));
      const bool dropped = uniform_open(words[static_cast<std::size_t>(e % 4)]) < p;
      at(out, n, e) = dropped ? 0 : at(x, n, e) / (1 - p);
    }
  }
}

}  // namespace blocktrain::kernels
