#include <cmath>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_ops.hpp"

namespace blocktrain::kernels {
using namespace reference;
namespace {

/// index[n], checked against the rows of the table.
Index row_of(const Tensor& index, Index n, const Tensor& table) {
  const Index row = index.as<std::int32_t>()[n];
  BLOCKTRAIN_EXPECTS(0 <= row && row < table.shape[0]);
  return row;
}

}  // namespace

void ReferenceOps::embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index) {
  BLOCKTRAIN_EXPECTS(is_matrix(out, index.size(), table.shape[1]));
  for (Index n = 0; n < index.size(); ++n) {
    for (Index c = 0; c < table.shape[1]; ++c) at(out, n, c) = at(table, row_of(index, n, table), c);
  }
}

void ReferenceOps::embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index) {
  BLOCKTRAIN_EXPECTS(is_matrix(dout, index.size(), dtable.shape[1]));
  for (Index n = 0; n < index.size(); ++n) {
    for (Index c = 0; c < dtable.shape[1]; ++c) at(dtable, row_of(index, n, dtable), c) += at(dout, n, c);
  }
}

void ReferenceOps::add_rows(const Tensor& x, const Tensor& row) {
  BLOCKTRAIN_EXPECTS(x.rank == 3 && is_matrix(row, x.shape[1], x.shape[2]));
  for (Index n = 0; n < x.shape[0]; ++n) {
    for (Index t = 0; t < x.shape[1]; ++t) {
      for (Index c = 0; c < x.shape[2]; ++c) at(x, n, t, c) += at(row, t, c);
    }
  }
}

void ReferenceOps::noise_features(const Tensor& out, const Tensor& sigma) {
  const Index half = out.shape[1] / 2;
  BLOCKTRAIN_EXPECTS(out.shape[1] % 2 == 0 && is_vector(sigma, out.shape[0]));
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
