// Operands are checked here, once for all devices: a mistake of the caller's shows before anything has been done. What
// an output may share with an input is in ops.hpp; that the two begin at one place is all that is looked for.
#include "kernels/ops.hpp"

#include <span>
#include <string>

#include "kernels/backend.hpp"
#include "kernels/check_operands.hpp"

namespace blocktrain::kernels {
using namespace check;
namespace {

/// Whether `dtype` is one that ops of type `own` compute on: it, or the precise type beside it.
bool floating(DType own, DType dtype) { return dtype == own || dtype == precise(own); }

/// Place of the first index that is neither `ignored` nor in [0, rows); their number when there is none.
std::size_t first_outside(std::span<const std::int32_t> indices, std::int64_t rows, std::int32_t ignored) {
  std::size_t i = 0;
  while (i < indices.size() && (indices[i] == ignored || (0 <= indices[i] && indices[i] < rows))) ++i;
  return i;
}

}  // namespace

void check_indices(std::span<const std::int32_t> indices, std::int64_t rows, std::int32_t ignored) {
  const std::size_t i = first_outside(indices, rows, ignored);
  if (i == indices.size()) return;
  throw InputError("number " + std::to_string(i) + " of " + std::to_string(indices.size()) + " indices is " +
                   std::to_string(indices[i]) + ", but they count from 0 to " + std::to_string(rows - 1));
}

Ops::Ops(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) { BLOCKTRAIN_EXPECTS(backend_ != nullptr); }
Ops::~Ops() = default;
Ops::Ops(Ops&&) noexcept = default;
Ops& Ops::operator=(Ops&&) noexcept = default;

DType Ops::dtype() const { return backend_->dtype(); }
const char* Ops::name() const { return backend_->name(); }
void Ops::synchronize() { backend_->synchronize(); }

// ---- memory ------------------------------------------------------------------------------------------------------

void Ops::fill(const Tensor& out, double value) {
  BLOCKTRAIN_EXPECTS(floating(dtype(), out.dtype));
  backend_->fill(out, value);
}

void Ops::copy(const Tensor& out, const Tensor& in) {
  BLOCKTRAIN_EXPECTS(same_shape(out, in) && typed(in.dtype, out));
  backend_->copy(out, in);
}

void Ops::convert(const Tensor& out, const Tensor& in) {
  BLOCKTRAIN_EXPECTS(out.contiguous() && flat(in, out.size()));
  for (const DType t : {out.dtype, in.dtype}) BLOCKTRAIN_EXPECTS(t == dtype() || t == DType::float32);
  backend_->convert(out, in);
}

void Ops::add(const Tensor& out, const Tensor& in) {
  BLOCKTRAIN_EXPECTS(same_shape(out, in) && floating(dtype(), in.dtype) && typed(in.dtype, out));
  backend_->add(out, in);
}

void Ops::axpby(const Tensor& out, double a, const Tensor& x, double b, const Tensor& y) {
  BLOCKTRAIN_EXPECTS(same_shape(out, x) && same_shape(out, y));
  BLOCKTRAIN_EXPECTS(out.contiguous() && x.contiguous() && y.contiguous());
  BLOCKTRAIN_EXPECTS(floating(dtype(), out.dtype) && typed(out.dtype, x, y));
  backend_->axpby(out, a, x, b, y);
}

// ---- matrix products ---------------------------------------------------------------------------------------------

void Ops::matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                 bool accumulate) {
  const std::int64_t rows = c.dim(0), columns = c.row_size(), depth = transpose_a ? a.dim(0) : a.row_size();
  BLOCKTRAIN_EXPECTS(rows >= 1 && columns >= 1 && depth >= 1);
  BLOCKTRAIN_EXPECTS(transpose_a ? matrix(a, depth, rows) : matrix(a, rows, depth));
  BLOCKTRAIN_EXPECTS(transpose_b ? matrix(b, columns, depth) : matrix(b, depth, columns));
  BLOCKTRAIN_EXPECTS(floating(dtype(), a.dtype) && typed(a.dtype, b));
  BLOCKTRAIN_EXPECTS(c.dtype == a.dtype || c.dtype == precise(dtype()));
  BLOCKTRAIN_EXPECTS(apart(c, a, b));
  backend_->matmul(c, a, transpose_a, b, transpose_b, accumulate);
}

void Ops::linear_forward(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const std::int64_t rows = x.dim(0), depth = x.row_size(), columns = weight.dim(0);
  BLOCKTRAIN_EXPECTS(rows >= 1 && columns >= 1 && depth >= 1);
  BLOCKTRAIN_EXPECTS(packed(weight, columns, depth) && matrix(out, rows, columns));
  BLOCKTRAIN_EXPECTS(floating(dtype(), x.dtype) && typed(x.dtype, weight));
  BLOCKTRAIN_EXPECTS(out.dtype == x.dtype || out.dtype == precise(dtype()));
  BLOCKTRAIN_EXPECTS(bias.empty() || (flat(bias, columns) && typed(out.dtype, bias)));
  BLOCKTRAIN_EXPECTS(apart(out, x, weight));
  backend_->linear_forward(out, x, weight, bias);
}

void Ops::linear_backward(const Tensor& dx, const Tensor& dweight, const Tensor& dbias, const Tensor& dy,
                          const Tensor& x, const Tensor& weight, bool add_dx, GradientWrite write) {
  const std::int64_t rows = dy.dim(0), columns = dy.row_size(), depth = x.row_size();
  BLOCKTRAIN_EXPECTS(rows >= 1 && columns >= 1 && depth >= 1);
  BLOCKTRAIN_EXPECTS(matrix(x, rows, depth) && packed(weight, columns, depth) && packed(dweight, columns, depth));
  BLOCKTRAIN_EXPECTS(floating(dtype(), dy.dtype) && typed(dy.dtype, x, weight));
  BLOCKTRAIN_EXPECTS(dweight.dtype == dy.dtype || dweight.dtype == precise(dtype()));
  BLOCKTRAIN_EXPECTS(dx.empty() || (matrix(dx, rows, depth) && apart(dx, dy, weight)));
  BLOCKTRAIN_EXPECTS(dx.empty() || dx.dtype == dy.dtype || dx.dtype == precise(dtype()));
  BLOCKTRAIN_EXPECTS(dbias.empty() || (flat(dbias, columns) && typed(precise(dtype()), dbias)));
  BLOCKTRAIN_EXPECTS(apart(dweight, dy, x, weight));
  backend_->linear_backward(dx, dweight, dbias, dy, x, weight, add_dx, write);
}

void Ops::linear_gelu_forward(const Tensor& out, const Tensor& pre, const Tensor& x, const Tensor& weight,
                              const Tensor& bias) {
  const std::int64_t rows = x.dim(0), depth = x.row_size(), columns = weight.dim(0);
  BLOCKTRAIN_EXPECTS(rows >= 1 && columns >= 1 && depth >= 1);
  BLOCKTRAIN_EXPECTS(x.contiguous() && packed(weight, columns, depth) && packed(pre, rows, columns));
  BLOCKTRAIN_EXPECTS(packed(out, rows, columns) && flat(bias, columns));
  BLOCKTRAIN_EXPECTS(floating(dtype(), x.dtype) && typed(x.dtype, out, pre, weight, bias));
  BLOCKTRAIN_EXPECTS(apart(out, x, weight) && apart(pre, x, weight));
  backend_->linear_gelu_forward(out, pre, x, weight, bias);
}

void Ops::gelu_linear_backward(const Tensor& dpre, const Tensor& dpre_sums, const Tensor& dweight, const Tensor& dbias,
                               const Tensor& dy, const Tensor& pre, const Tensor& weight, bool kept,
                               GradientWrite write) {
  const std::int64_t rows = dy.dim(0), outputs = dy.row_size(), columns = weight.row_size();
  BLOCKTRAIN_EXPECTS(rows >= 1 && outputs >= 1 && columns >= 1);
  BLOCKTRAIN_EXPECTS(dy.contiguous() && packed(weight, outputs, columns) && packed(dweight, outputs, columns));
  BLOCKTRAIN_EXPECTS(packed(pre, rows, columns) && packed(dpre, rows, columns));
  BLOCKTRAIN_EXPECTS(flat(dpre_sums, columns) && (dbias.empty() || flat(dbias, outputs)));
  BLOCKTRAIN_EXPECTS(floating(dtype(), dy.dtype) && typed(dy.dtype, dpre, pre, weight));
  BLOCKTRAIN_EXPECTS(dweight.dtype == dy.dtype || dweight.dtype == precise(dtype()));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), dpre_sums) && (dbias.empty() || typed(precise(dtype()), dbias)));
  BLOCKTRAIN_EXPECTS(apart(dpre, pre, dy, weight) && apart(dweight, dy, pre, weight));
  backend_->gelu_linear_backward(dpre, dpre_sums, dweight, dbias, dy, pre, weight, kept, write);
}

// ---- activations -------------------------------------------------------------------------------------------------

void Ops::gelu_forward(const Tensor& out, const Tensor& x) {
  BLOCKTRAIN_EXPECTS(out.contiguous() && flat(x, out.size()));
  BLOCKTRAIN_EXPECTS(floating(dtype(), x.dtype) && typed(x.dtype, out));
  backend_->gelu_forward(out, x);
}

void Ops::gelu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) {
  BLOCKTRAIN_EXPECTS(dx.contiguous() && flat(dy, dx.size()) && flat(x, dx.size()));
  BLOCKTRAIN_EXPECTS(floating(dtype(), x.dtype) && typed(x.dtype, dx, dy));
  backend_->gelu_backward(dx, dy, x);
}

void Ops::silu_forward(const Tensor& out, const Tensor& x) {
  BLOCKTRAIN_EXPECTS(out.contiguous() && flat(x, out.size()));
  BLOCKTRAIN_EXPECTS(floating(dtype(), x.dtype) && typed(x.dtype, out));
  backend_->silu_forward(out, x);
}

void Ops::silu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) {
  BLOCKTRAIN_EXPECTS(dx.contiguous() && flat(dy, dx.size()) && flat(x, dx.size()));
  BLOCKTRAIN_EXPECTS(floating(dtype(), x.dtype) && typed(x.dtype, dx, dy));
  backend_->silu_backward(dx, dy, x);
}

// ---- normalisation and modulation --------------------------------------------------------------------------------

void Ops::norm_modulate_forward(const Tensor& out, const Tensor& mean, const Tensor& rstd, const Tensor& x,
                                const Tensor& shift, const Tensor& scale, double epsilon) {
  const std::int64_t samples = x.dim(0), rows = samples * x.dim(1), width = x.dim(2);
  BLOCKTRAIN_EXPECTS(x.rank == 3 && x.contiguous() && flat(out, x.size()));
  BLOCKTRAIN_EXPECTS(flat(mean, rows) && flat(rstd, rows));
  BLOCKTRAIN_EXPECTS(matrix(shift, samples, width) && matrix(scale, samples, width));
  BLOCKTRAIN_EXPECTS(floating(dtype(), x.dtype) && typed(x.dtype, out, shift, scale));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), mean, rstd) && apart(out, x));
  backend_->norm_modulate_forward(out, mean, rstd, x, shift, scale, epsilon);
}

void Ops::norm_modulate_backward(const Tensor& dx, const Tensor& dshift, const Tensor& dscale, const Tensor& dout,
                                 const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& scale) {
  const std::int64_t samples = x.dim(0), rows = samples * x.dim(1), width = x.dim(2);
  BLOCKTRAIN_EXPECTS(x.rank == 3 && x.contiguous() && flat(dx, x.size()) && flat(dout, x.size()));
  BLOCKTRAIN_EXPECTS(flat(mean, rows) && flat(rstd, rows) && matrix(scale, samples, width));
  BLOCKTRAIN_EXPECTS(matrix(dshift, samples, width) && matrix(dscale, samples, width));
  BLOCKTRAIN_EXPECTS(floating(dtype(), x.dtype) && typed(x.dtype, dx, dshift, dscale, dout, scale));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), mean, rstd) && apart(dx, dout, x));
  backend_->norm_modulate_backward(dx, dshift, dscale, dout, x, mean, rstd, scale);
}

void Ops::gated_residual_forward(const Tensor& out, const Tensor& x, const Tensor& h, const Tensor& gate) {
  BLOCKTRAIN_EXPECTS(x.rank == 3 && x.contiguous() && flat(h, x.size()) && flat(out, x.size()));
  BLOCKTRAIN_EXPECTS(matrix(gate, x.dim(0), x.dim(2)));
  BLOCKTRAIN_EXPECTS(floating(dtype(), x.dtype) && typed(x.dtype, out, h, gate));
  backend_->gated_residual_forward(out, x, h, gate);
}

void Ops::gated_residual_backward(const Tensor& dh, const Tensor& dgate, const Tensor& dout, const Tensor& h,
                                  const Tensor& gate) {
  BLOCKTRAIN_EXPECTS(dout.rank == 3 && dout.contiguous() && flat(h, dout.size()) && flat(dh, dout.size()));
  BLOCKTRAIN_EXPECTS(matrix(gate, dout.dim(0), dout.dim(2)) && matrix(dgate, dout.dim(0), dout.dim(2)));
  BLOCKTRAIN_EXPECTS(floating(dtype(), dout.dtype) && typed(dout.dtype, dh, dgate, h, gate) && apart(dh, dout));
  backend_->gated_residual_backward(dh, dgate, dout, h, gate);
}

// ---- embeddings --------------------------------------------------------------------------------------------------

void Ops::embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index, const Tensor& rows,
                            std::int32_t ignored) {
  BLOCKTRAIN_EXPECTS(table.contiguous() && packed(out, index.size(), table.row_size()));
  BLOCKTRAIN_EXPECTS(floating(dtype(), table.dtype) && typed(table.dtype, out) && apart(out, table));
  expect_indices(index, table.dim(0), ignored);
  if (!rows.empty()) expect_indices(rows, out.dim(0), 0);
  backend_->embedding_forward(out, table, index, rows, ignored);
}

void Ops::embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index, const Tensor& rows,
                             std::int32_t ignored) {
  BLOCKTRAIN_EXPECTS(dtable.contiguous() && packed(dout, index.size(), dtable.row_size()));
  BLOCKTRAIN_EXPECTS(floating(dtype(), dout.dtype) && typed(precise(dtype()), dtable) && apart(dtable, dout));
  expect_indices(index, dtable.dim(0), ignored);
  if (!rows.empty()) expect_indices(rows, dout.dim(0), 0);
  backend_->embedding_backward(dtable, dout, index, rows, ignored);
}

void Ops::expect_indices(const Tensor& index, std::int64_t rows, std::int32_t ignored) const {
  BLOCKTRAIN_EXPECTS(index.contiguous() && typed(DType::int32, index));
  if (!backend_->on_host()) return;
  const std::span all(index.as<std::int32_t>(), static_cast<std::size_t>(index.size()));
  BLOCKTRAIN_EXPECTS(first_outside(all, rows, ignored) == all.size());
}

void Ops::add_rows(const Tensor& x, const Tensor& row) {
  BLOCKTRAIN_EXPECTS(x.contiguous() && flat(row, x.row_size()));
  BLOCKTRAIN_EXPECTS(floating(dtype(), x.dtype) && typed(x.dtype, row) && apart(x, row));
  backend_->add_rows(x, row);
}

void Ops::noise_features(const Tensor& out, const Tensor& sigma) {
  BLOCKTRAIN_EXPECTS(out.rank == 2 && out.contiguous() && out.dim(1) % 2 == 0 && flat(sigma, out.dim(0)));
  BLOCKTRAIN_EXPECTS(floating(dtype(), out.dtype) && typed(precise(dtype()), sigma));
  backend_->noise_features(out, sigma);
}

}  // namespace blocktrain::kernels
