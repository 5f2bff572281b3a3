#include "blocks/layers/linear_cross_entropy.hpp"

#include <algorithm>

namespace blocktrain::blocks {

using kernels::GradientWrite;
using kernels::Ops;
using kernels::Tensor;

namespace {
/// Logits at a time: 256 MiB of float32. A GPU's products are fast with fewer; a vocabulary's weight gradient, which is
/// read and written for each of the pieces, asks for many rows.
constexpr std::int64_t most_logits = std::int64_t{1} << 26;
}  // namespace

LinearCrossEntropy::LinearCrossEntropy(ParameterLayout& layout, const std::string& name, std::int64_t classes,
                                       std::int64_t width, std::int64_t rows_at_once)
    : classes_(classes),
      rows_at_once_(std::clamp<std::int64_t>(most_logits / classes, 1, std::max<std::int64_t>(rows_at_once, 1))),
      linear_(layout, name, classes, width, Linear::Start::xavier) {}

void LinearCrossEntropy::bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t rows, Pass pass) {
  const kernels::DType precise = kernels::precise(dtype);
  const std::int64_t at_once = std::min(rows, rows_at_once_);
  Memory m;
  m.logits = arena.allocate(precise, {at_once, classes_});
  if (precise != dtype) m.bias = arena.allocate(precise, {classes_});
  if (precise != dtype && pass == Pass::training) m.dlogits = arena.allocate(dtype, {at_once, classes_});
  (pass == Pass::training ? training_ : inference_) = m;
}

Tensor LinearCrossEntropy::precise_bias(Ops& ops, const Memory& m) const {
  if (m.bias.empty()) return linear_.bias();
  ops.convert(m.bias, linear_.bias());
  return m.bias;
}

void LinearCrossEntropy::logits(Ops& ops, const Tensor& logits, const Tensor& x, Pass pass) const {
  linear_.forward(ops, logits, x, precise_bias(ops, memory(pass)));
}

void LinearCrossEntropy::loss(Ops& ops, const Tensor& loss, const Tensor& dx, const Tensor& x, const Tensor& labels,
                              const Tensor& weights, double loss_scale, Pass pass, GradientWrite write) const {
  const Memory& m = memory(pass);
  const Tensor bias = precise_bias(ops, m);
  const std::int64_t rows = x.dim(0);
  for (std::int64_t begin = 0; begin < rows; begin += m.logits.dim(0)) {
    const std::int64_t end = std::min(begin + m.logits.dim(0), rows);
    const Tensor some = x.rows(begin, end), logits = m.logits.rows(0, end - begin);
    const Tensor dlogits = dx.empty() ? Tensor() : logits;
    linear_.forward(ops, logits, some, bias);
    ops.cross_entropy(loss.rows(begin, end), dlogits, logits, labels.rows(begin, end), loss_scale, {},
                      kernels::ignored_index, weights.rows(begin, end));
    if (dx.empty()) continue;
    Tensor dy = dlogits;
    if (!m.dlogits.empty()) {
      dy = m.dlogits.rows(0, end - begin);
      ops.convert(dy, dlogits);
    }
    linear_.backward_parameters(ops, dy, some, begin == 0 ? write : GradientWrite::add);
    linear_.backward_input(ops, dx.rows(begin, end), dy);
  }
}

}  // namespace blocktrain::blocks
