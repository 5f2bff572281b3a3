#include <algorithm>
#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;

void ReferenceBackend::cross_entropy(const Tensor& loss, const Tensor& dlogits, const Tensor& logits,
                                     const Tensor& label, double loss_scale, const Tensor& rows, std::int32_t ignored,
                                     const Tensor& weights) {
  const Index samples = logits.shape[0], classes = logits.shape[1];
  for (Index m = 0; m < (rows.empty() ? samples : rows.size()); ++m) {
    const Index n = rows.empty() ? m : rows.as<std::int32_t>()[m];
    const Index correct = label.as<std::int32_t>()[n];
    if (correct == ignored) {
      at(loss, n) = 0;
      for (Index v = 0; v < classes && !dlogits.empty(); ++v) at(dlogits, n, v) = 0;
      continue;
    }
    double largest = at(logits, n, 0);
    for (Index v = 1; v < classes; ++v) largest = std::max(largest, at(logits, n, v));
    double sum = 0;
    for (Index v = 0; v < classes; ++v) sum += std::exp(at(logits, n, v) - largest);
    const double log_sum = largest + std::log(sum);
    at(loss, n) = log_sum - at(logits, n, correct);
    if (dlogits.empty()) continue;
    const double scale = weights.empty() ? loss_scale : loss_scale * at(weights, n);
    for (Index v = 0; v < classes; ++v) {
      at(dlogits, n, v) = scale * (std::exp(at(logits, n, v) - log_sum) - (v == correct ? 1.0 : 0.0));
    }
  }
}

}  // namespace blocktrain::kernels
