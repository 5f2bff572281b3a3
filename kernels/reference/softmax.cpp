#include <algorithm>
#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;

void ReferenceBackend::softmax(const Tensor& p, const Tensor& logits) {
  for (Index n = 0; n < logits.shape[0]; ++n) {
    double largest = at(logits, n, 0), sum = 0;
    for (Index v = 0; v < logits.row_size(); ++v) largest = std::max(largest, at(logits, n, v));
    for (Index v = 0; v < logits.row_size(); ++v) sum += std::exp(at(logits, n, v) - largest);
    for (Index v = 0; v < logits.row_size(); ++v) at(p, n, v) = std::exp(at(logits, n, v) - largest) / sum;
  }
}

}  // namespace blocktrain::kernels
