#include "blocks/layers/modulation.hpp"

#include <algorithm>
#include <utility>

namespace blocktrain::blocks {

using kernels::Ops;
using kernels::Tensor;

Modulation::Modulation(ParameterLayout& layout, const std::string& name, const std::string& constants,
                       std::int64_t width, std::int64_t parts, std::vector<std::int64_t> gates, bool conditioned)
    : width_(width), parts_(parts), gates_(std::move(gates)) {
  if (conditioned) {
    linear_.emplace(layout, name, parts * width, width, Linear::Start::zeros);
  } else {
    constants_ = layout.add_zeros(constants, {(parts - static_cast<std::int64_t>(gates_.size())) * width});
  }
}

template <class Piece>
void Modulation::for_each_constant(const Tensor& m, const Tensor& constants, const Piece& piece) const {
  const Tensor row = constants.reshaped({1, constants.size()});
  std::int64_t next = 0;
  for (std::int64_t part = 0; part < parts_; ++part) {
    if (std::ranges::find(gates_, part) != gates_.end()) continue;
    piece(m.columns(part * width_, (part + 1) * width_), row.columns(next, next + width_));
    next += width_;
  }
}

void Modulation::forward(Ops& ops, const Tensor& m, const Tensor& conditioning) const {
  if (linear_) return linear_->forward(ops, m, conditioning);
  for_each_constant(m, constants_.value(), [&](const Tensor& columns, const Tensor& row) {
    ops.matmul(columns, conditioning, false, row, false, false);
  });
  for (const std::int64_t gate : gates_) ops.fill(m.columns(gate * width_, (gate + 1) * width_), 1);
}

void Modulation::backward(Ops& ops, const Tensor& dconditioning, const Tensor& dm, const Tensor& conditioning,
                          kernels::GradientWrite write) const {
  if (linear_) {
    linear_->backward_parameters(ops, dm, conditioning, write);
    linear_->backward_input(ops, dconditioning, dm, true);
    return;
  }
  for_each_constant(dm, constants_.gradient(), [&](const Tensor& columns, const Tensor& row) {
    ops.matmul(row, conditioning, true, columns, false, write == kernels::GradientWrite::add);
  });
}

}  // namespace blocktrain::blocks
