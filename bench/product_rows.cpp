// The matrix products of a layer: as a training step has them, and by cuBLASLt alone, without the ends they are fused
// with and by other algorithms than the one it proposes first.
#include <array>

#include "bench/cuda_rows.hpp"

namespace blocktrain::bench {
namespace {

using kernels::cuda::MatmulEnd;
constexpr auto replace = kernels::GradientWrite::replace;  // as the first micro-batch of a step does

/// A linear layer of `outputs` from `inputs` columns, and whether a GELU comes behind it or in front of it.
struct Layer {
  const char* name;
  std::int64_t outputs, inputs;
  bool gelu_behind = false, gelu_before = false;
};

std::array<Layer, 4> layers_of(const Network& n) {
  const std::int64_t c = n.width;
  return {
      {{"qkv", 3 * c, c}, {"projection", c, c}, {"mlp.input", 4 * c, c, true}, {"mlp.output", c, 4 * c, false, true}}};
}

std::vector<Row> step_rows(const Network& n, const Layer& l) {
  const std::int64_t r = n.batch * n.tokens, out = l.outputs, in = l.inputs;
  const double flops = 2.0 * static_cast<double>(r) * static_cast<double>(out * in);
  const std::string name = std::string("product ") + l.name;
  std::vector<Row> rows{
      {name + " forward",
       [=](Operands& o) -> Call {
         const Tensor y = o.out({r, out}), x = o.in({r, in}), w = o.in({out, in}), bias = o.in({out});
         return [=](Ops& ops, Libraries&) { return ops.linear_forward(y, x, w, bias), true; };
       },
       flops},
      {name + " gradient of the input",
       [=](Operands& o) -> Call {
         const Tensor dx = o.out({r, in}), dy = o.in({r, out}), w = o.in({out, in});
         return [=](Ops& ops, Libraries&) { return ops.matmul(dx, dy, false, w, false, false), true; };
       },
       flops},
      {name + " gradients of weight and bias",
       [=](Operands& o) -> Call {
         const Tensor dw = o.precise_out({out, in}), db = o.precise_out({out}), dy = o.in({r, out});
         const Tensor x = o.in({r, in}), w = o.in({out, in});
         return [=](Ops& ops, Libraries&) { return ops.linear_backward({}, dw, db, dy, x, w, false, replace), true; };
       },
       flops}};
  if (l.gelu_behind) {
    rows.push_back({name + " forward, GELU",
                    [=](Operands& o) -> Call {
                      const Tensor y = o.out({r, out}), pre = o.out({r, out}), x = o.in({r, in});
                      const Tensor w = o.in({out, in}), bias = o.in({out});
                      return [=](Ops& ops, Libraries&) { return ops.linear_gelu_forward(y, pre, x, w, bias), true; };
                    },
                    flops});
  }
  if (l.gelu_before) {
    rows.push_back({name + " gradients, GELU",
                    [=](Operands& o) -> Call {
                      const Tensor dpre = o.in_out({r, in}), pre = o.in({r, in}), dy = o.in({r, out});
                      const Tensor dw = o.precise_out({out, in}), db = o.precise_out({out}), w = o.in({out, in});
                      const Tensor sums = o.precise_out({in});
                      return [=](Ops& ops, Libraries&) {
                        return ops.gelu_linear_backward(dpre, sums, dw, db, dy, pre, w, true, replace), true;
                      };
                    },
                    2 * flops});
  }
  return rows;
}

/// By cuBLASLt's proposal number `proposal`.
Call alone(int proposal, const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
           const MatmulEnd& end = {}) {
  return [=](Ops&, Libraries& l) {
    if (l.workspace == nullptr) l.workspace = std::make_unique<kernels::cuda::Workspace>(l.workspace_bytes);
    std::unique_ptr<kernels::cuda::CublasLtMatmul>& products = l.products[proposal];
    if (products == nullptr) products = std::make_unique<kernels::cuda::CublasLtMatmul>(proposal);
    return products->multiply(l.stream, *l.workspace, c, a, transpose_a, b, transpose_b, false, end);
  };
}

std::vector<Row> library_rows(const Network& n, const Layer& l, int proposal) {
  const std::int64_t r = n.batch * n.tokens, out = l.outputs, in = l.inputs;
  const double flops = 2.0 * static_cast<double>(r) * static_cast<double>(out * in);
  const auto name = [&](const char* what) {
    return std::string("product ") + l.name + " " + what + ", cuBLASLt's proposal " + std::to_string(proposal + 1);
  };
  std::vector<Row> rows{{name("forward"),
                         [=](Operands& o) {
                           return alone(proposal, o.out({r, out}), o.in({r, in}), false, o.in({out, in}), true);
                         },
                         flops},
                        {name("gradient of the input"),
                         [=](Operands& o) {
                           return alone(proposal, o.out({r, in}), o.in({r, out}), false, o.in({out, in}), false);
                         },
                         flops},
                        {name("gradient of the weight"),
                         [=](Operands& o) {
                           return alone(proposal, o.precise_out({out, in}), o.in({r, out}), true, o.in({r, in}), false);
                         },
                         flops}};
  if (proposal == 0) {
    rows.push_back({name("gradient of the weight, with the bias's"),
                    [=](Operands& o) {
                      const MatmulEnd end{MatmulEnd::Kind::bias_gradient, o.precise_out({out}), {}};
                      return alone(0, o.precise_out({out, in}), o.in({r, out}), true, o.in({r, in}), false, end);
                    },
                    flops});
  }
  for (Row& row : rows) row.bfloat16_only = true;
  return rows;
}

}  // namespace

std::vector<Row> product_rows(const Network& n, int proposals) {
  std::vector<Row> rows;
  const auto append = [&](std::vector<Row> more) {
    for (Row& row : more) rows.push_back(std::move(row));
  };
  for (const Layer& l : layers_of(n)) append(step_rows(n, l));
  for (const Layer& l : layers_of(n)) {
    for (int p = 0; p < proposals; ++p) append(library_rows(n, l, p));
  }
  return rows;
}

}  // namespace blocktrain::bench
