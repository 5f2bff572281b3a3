#include "bench/cuda_rows.hpp"

#include <algorithm>

namespace blocktrain::bench {
namespace {

/// An op whose call needs no library.
template <class F>
Call op(F f) {
  return [f](Ops& ops, Libraries&) {
    f(ops);
    return true;
  };
}

std::vector<Row> memory_rows(const Network& n) {
  const std::int64_t b = n.batch, t = n.tokens, c = n.width, pixels = n.channels * n.size * n.size;
  const int patch = static_cast<int>(n.patch);
  return {
      {"norm_modulate forward",
       [=](Operands& o) {
         const Tensor out = o.out({b, t, c}), mean = o.precise_out({b, t}), rstd = o.precise_out({b, t});
         const Tensor x = o.in({b, t, c}), shift = o.part(b, c), scale = o.part(b, c);
         return op([=](Ops& ops) { ops.norm_modulate_forward(out, mean, rstd, x, shift, scale, 1e-6); });
       }},
      {"norm_modulate backward",
       [=](Operands& o) {
         const Tensor dx = o.in_out({b, t, c}), dshift = o.part(b, c), dscale = o.part(b, c), dout = o.in({b, t, c});
         const Tensor x = o.in({b, t, c}), mean = o.precise_in({b, t}), rstd = o.precise_in({b, t});
         const Tensor scale = o.part(b, c);
         return op([=](Ops& ops) { ops.norm_modulate_backward(dx, dshift, dscale, dout, x, mean, rstd, scale); });
       }},
      {"gated_residual forward",
       [=](Operands& o) {
         const Tensor out = o.out({b, t, c}), x = o.in({b, t, c}), h = o.in({b, t, c}), gate = o.part(b, c);
         return op([=](Ops& ops) { ops.gated_residual_forward(out, x, h, gate); });
       }},
      {"gated_residual backward",  // dh over h, as in a step
       [=](Operands& o) {
         const Tensor h = o.in_out({b, t, c}), dgate = o.part(b, c), dout = o.in({b, t, c}), gate = o.part(b, c);
         return op([=](Ops& ops) { ops.gated_residual_backward(h, dgate, dout, h, gate); });
       }},
      {"rotary",  // q and k in place, beside v
       [=](Operands& o) {
         const Tensor qk = o.in_out({b, t, 2 * c}), angles = o.precise_in({t, c / n.heads});
         return op([=](Ops& ops) { ops.rotary(qk, qk, angles, false); });
       }},
      {"mask_tokens",
       [=](Operands& o) {
         const Tensor noisy = o.index(b * t).reshaped({b, t}), tokens = o.index(b * t).reshaped({b, t});
         const Tensor level = o.precise_in({b});
         const StepState* const state = o.state();
         return op([=](Ops& ops) {
           ops.fill(level, 0.5);  // half of them, as in training in the mean
           ops.mask_tokens(noisy, tokens, level, 256, {1, kernels::Purpose::noise, 0}, state, 0);
         });
       }},
      {"add_rows",
       [=](Operands& o) {
         const Tensor x = o.in_out({b, t, c}), row = o.in({t, c});
         return op([=](Ops& ops) { ops.add_rows(x, row); });
       }},
      {"add_noise",
       [=](Operands& o) {
         const Tensor z = o.precise_out({b, pixels}), y = o.precise_in({b, pixels}), sigma = o.precise_in({b});
         const StepState* const state = o.state();
         return op([=](Ops& ops) { ops.add_noise(z, y, sigma, {1, kernels::Purpose::noise, 0}, state, 0); });
       }},
      {"denoise_loss",  // df over f, as in a step
       [=](Operands& o) {
         const Tensor loss = o.precise_out({b}), mse = o.precise_out({b}), f = o.precise_in_out({b, pixels});
         const Tensor z = o.precise_in({b, pixels}), y = o.precise_in({b, pixels}), sigma = o.precise_in({b});
         return op(
             [=](Ops& ops) { ops.denoise_loss(loss, mse, f, z, y, f, sigma, 0.5, kernels::LossWeighting::edm, 1e-3); });
       }},
      {"patchify",
       [=](Operands& o) {
         const Tensor tokens = o.out({b, t, n.channels * patch * patch});
         const Tensor image = o.precise_in({b, n.channels, n.size, n.size}), sigma = o.precise_in({b});
         return op([=](Ops& ops) { ops.patchify(tokens, image, patch, sigma, 0.5); });
       }},
      {"unpatchify",
       [=](Operands& o) {
         const Tensor image = o.precise_out({b, n.channels, n.size, n.size});
         const Tensor tokens = o.in({b, t, n.channels * patch * patch});
         return op([=](Ops& ops) { ops.unpatchify(image, tokens, patch); });
       }},
      {"embedding forward",
       [=](Operands& o) {
         const Tensor out = o.out({b, c}), table = o.table(o.dtype(), {n.classes + 1, c}, b, 1), index = o.index(b);
         return op([=](Ops& ops) { ops.embedding_forward(out, table, index); });
       }},
      {"embedding backward",
       [=](Operands& o) {
         const Tensor dtable = o.table(DType::float32, {n.classes + 1, c}, b, 2), dout = o.in({b, c});
         const Tensor index = o.index(b);
         return op([=](Ops& ops) { ops.embedding_backward(dtable, dout, index); });
       }},
      {"embedding backward, table of words",
       [=](Operands& o) {
         // As many rows as words that a vocabulary has; tokens are sorted by them.
         const std::int64_t tokens = b * t, words = std::max<std::int64_t>(50257, tokens);
         const Tensor dtable = o.table(DType::float32, {words, c}, tokens, 2), dout = o.in({tokens, c});
         const Tensor index = o.index(tokens);
         return op([=](Ops& ops) { ops.embedding_backward(dtable, dout, index); });
       }},
      {"convert to bfloat16",
       [=](Operands& o) {
         const Tensor out = o.out({n.parameters()}), in = o.precise_in({n.parameters()});
         return op([=](Ops& ops) { ops.convert(out, in); });
       },
       0, true},
      {"sum_squares",
       [=](Operands& o) {
         const Tensor x = o.precise_in({n.parameters()});
         StepState* const state = o.state();
         return op([=](Ops& ops) { ops.sum_squares(state, x); });
       }},
      {"adamw",
       [=](Operands& o) {
         const Tensor p = o.precise_in_out({n.parameters()}), m = o.precise_in_out({n.parameters()});
         const Tensor v = o.precise_in_out({n.parameters()}), g = o.precise_in({n.parameters()});
         const Tensor working = o.dtype() == DType::float32 ? Tensor() : o.out({n.parameters()});
         const StepState* const state = o.state();
         return op([=](Ops& ops) { ops.adamw(p, m, v, working, g, state, {}); });
       }},
      {"exponential_average",
       [=](Operands& o) {
         const Tensor average = o.precise_in_out({n.parameters()}), p = o.precise_in({n.parameters()});
         const StepState* const state = o.state();
         return op([=](Ops& ops) { ops.exponential_average(average, p, 0.9999, state); });
       }},
  };
}

std::vector<Row> attention_rows(const Network& n) {
  const std::int64_t b = n.batch, t = n.tokens, c = n.width;
  const int heads = static_cast<int>(n.heads);
  const kernels::AttentionForm form{heads, heads, {}, false};
  const double flops = 4.0 * static_cast<double>(b * t) * static_cast<double>(t * c);
  struct Forward {
    Tensor out, lse, q, k, v;
  };
  const auto forward = [=](Operands& o) {
    const Tensor out = o.out({b, t, c}), lse = o.precise_out({b, n.heads, t}), qkv = o.in({b, t, 3 * c});
    return Forward{out, lse, packed_part(qkv, 0), packed_part(qkv, 1), packed_part(qkv, 2)};
  };
  const auto gradient = [=](Operands& o) {
    const Tensor dqkv = o.out({b, t, 3 * c});
    return kernels::cuda::FusedGradient{packed_part(dqkv, 0), packed_part(dqkv, 1), packed_part(dqkv, 2),
                                        kernels::GradientWrite::replace, kernels::GradientWrite::replace};
  };
  const auto alone = [](Libraries& l, bool deterministic) -> FusedAttention& {
    std::unique_ptr<FusedAttention>& made = deterministic ? l.deterministic : l.fast;
    if (made == nullptr) made = kernels::cuda::make_fused_attention(deterministic);
    if (l.workspace == nullptr) l.workspace = std::make_unique<kernels::cuda::Workspace>(l.workspace_bytes);
    return *made;
  };
  const auto backward_alone = [=](bool deterministic) {
    return [=](Operands& o) -> Call {
      const Forward f = forward(o);
      const kernels::cuda::FusedGradient g = gradient(o);
      const Tensor dout = o.in({b, t, c});
      return [=](Ops&, Libraries& l) {
        return alone(l, deterministic).backward(l.stream, *l.workspace, g, dout, f.out, f.lse, f.q, f.k, f.v, form);
      };
    };
  };
  return {
      {"attention forward",
       [=](Operands& o) {
         const Forward f = forward(o);
         return op([=](Ops& ops) { ops.attention_forward(f.out, f.lse, f.q, f.k, f.v, form); });
       },
       flops},
      {"attention forward, cuDNN alone",
       [=](Operands& o) -> Call {
         const Forward f = forward(o);
         return [=](Ops&, Libraries& l) { return alone(l, true).forward(l.stream, f.out, f.lse, f.q, f.k, f.v, form); };
       },
       flops, true},
      {"attention backward",
       [=](Operands& o) {
         const Forward f = forward(o);
         const kernels::cuda::FusedGradient g = gradient(o);
         const Tensor dout = o.in({b, t, c});
         return op([=](Ops& ops) {
           ops.attention_backward(g.dq, g.dk, g.dv, dout, f.out, f.lse, f.q, f.k, f.v, form, g.write_dq, g.write_dkv);
         });
       },
       2.5 * flops},
      {"attention backward, cuDNN alone, deterministic", backward_alone(true), 2.5 * flops, true},
      {"attention backward, cuDNN alone, not deterministic", backward_alone(false), 2.5 * flops, true},
  };
}

}  // namespace

std::vector<Row> rows_of(const Network& n) {
  std::vector<Row> rows = memory_rows(n);
  for (Row& r : attention_rows(n)) rows.push_back(std::move(r));
  return rows;
}

}  // namespace blocktrain::bench
