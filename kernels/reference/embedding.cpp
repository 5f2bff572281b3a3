#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;
void ReferenceBackend::embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index,
                                         const Tensor& rows, std::int32_t ignored) {
  for (Index m = 0; m < (rows.empty() ? index : rows).size(); ++m) {
    const Index n = rows.empty() ? m : rows.as<std::int32_t>()[m], row = index.as<std::int32_t>()[n];
    for (Index c = 0; c < table.row_size(); ++c) at(out, n, c) = row == ignored ? 0 : at(table, row, c);
  }
}

void ReferenceBackend::embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index,
                                          const Tensor& rows, std::int32_t ignored) {
  for (Index m = 0; m < (rows.empty() ? index : rows).size(); ++m) {
    const Index n = rows.empty() ? m : rows.as<std::int32_t>()[m], row = index.as<std::int32_t>()[n];
    for (Index c = 0; c < dtable.row_size() && row != ignored; ++c) at(dtable, row, c) += at(dout, n, c);
  }
}

void ReferenceBackend::add_rows(const Tensor& x, const Tensor& row) {
  for (Index n = 0; n < x.shape[0]; ++n) {
    for (Index t = 0; t < x.shape[1]; ++t) {
      for (Index c = 0; c < x.shape[2]; ++c) at(x, n, t, c) += at(row, t, c);
    }
  }
}

void ReferenceBackend::noise_features(const Tensor& out, const Tensor& sigma) {
  const Index half = out.shape[1] / 2;
  for (Index n = 0; n < out.shape[0]; ++n) {
    const double c_noise = std::log(at(sigma, n)) / 4;
    for (Index i = 0; i < half; ++i) {
      const double frequency = 100 * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
      at(out, n, i) = std::cos(frequency * c_noise);
      at(out, n, half + i) = std::sin(frequency * c_noise);
    }
  }
}

}  // namespace blocktrain::kernels
