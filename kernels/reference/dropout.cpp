#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;

void ReferenceBackend::dropout(const Tensor& out, const Tensor& x, double p, const RandomKey& key,
                               const StepState* state, std::uint32_t first_sample) {
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
