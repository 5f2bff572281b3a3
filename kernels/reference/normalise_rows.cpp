#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;

void ReferenceBackend::normalise_rows(const Tensor& out, const Tensor& norm, const Tensor& table) {
  for (Index r = 0; r < table.shape[0]; ++r) {
    double squares = 0;
    for (Index c = 0; c < table.row_size(); ++c) squares += at(table, r, c) * at(table, r, c);
    at(norm, r) = std::sqrt(squares);
    for (Index c = 0; c < table.row_size(); ++c) at(out, r, c) = squares == 0 ? 0 : at(table, r, c) / at(norm, r);
  }
}

void ReferenceBackend::normalise_rows_backward(const Tensor& dtable, const Tensor& dout, const Tensor& out,
                                               const Tensor& norm) {
  for (Index r = 0; r < out.shape[0]; ++r) {
    if (at(norm, r) == 0) continue;
    double along = 0;
    for (Index c = 0; c < out.row_size(); ++c) along += at(out, r, c) * at(dout, r, c);
    for (Index c = 0; c < out.row_size(); ++c) {
      at(dtable, r, c) += (at(dout, r, c) - at(out, r, c) * along) / at(norm, r);
    }
  }
}

}  // namespace blocktrain::kernels
