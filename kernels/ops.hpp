#pragma once
/// The operations a network is made of, one declaration each. A call checks its operands, once and here for every
/// device (kernels/ops.cpp), and hands them to the device's Backend (backend.hpp). Wrong operands are a bug of the
/// caller's: std::logic_error. A new op is one entry here, one in Backend and one file for each implementation.
///
/// Conventions. Outputs come first, then inputs, then scalars. N is the number of samples, T tokens per sample,
/// C channels (the width), R = N*T rows. Tensors are of the implementation's floating type unless said
/// otherwise, and contiguous except where "strided" is said (rows may then be apart by Tensor::row_stride).
/// Outputs never alias inputs unless said so. "Adds into" means out += value; everything else overwrites.
/// An op allocates nothing: scratch memory is an argument or comes from the workspace given at creation.
/// Results depend on shapes and values alone: never on the number of threads, and equal calls give equal bits.

#include <cstdint>
#include <memory>

#include "kernels/attention.hpp"
#include "kernels/op_types.hpp"
#include "kernels/random.hpp"
#include "kernels/step_state.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::kernels {

class Backend;

class Ops {
 public:
  explicit Ops(std::unique_ptr<Backend> backend);
  ~Ops();
  Ops(Ops&&) noexcept;
  Ops& operator=(Ops&&) noexcept;

  /// Floating type of every tensor these ops compute on.
  DType dtype() const;
  /// "cpu", "cuda" or "reference", for messages.
  const char* name() const;
  /// Returns when everything asked for so far has been computed.
  void synchronize();

  // ---- memory -------------------------------------------------------------------------------------------
  /// out[...] = value.
  void fill(const Tensor& out, double value);
  /// out[...] = in[...]; same shape, both may be strided.
  void copy(const Tensor& out, const Tensor& in);
  /// out[i] = in[i], each in its own type, of float32 and the ops' own; contiguous, of the same size.
  void convert(const Tensor& out, const Tensor& in);
  /// out[...] += in[...]; same shape, both may be strided.
  void add(const Tensor& out, const Tensor& in);
  /// out = a*x + b*y; out may alias x or y.
  void axpby(const Tensor& out, double a, const Tensor& x, double b, const Tensor& y);

  // ---- matrix products ----------------------------------------------------------------------------------
  /// c[M,N] = op(a) op(b), or c += op(a) op(b) with `accumulate`. op(a) is [M,K], op(b) is [K,N];
  /// all three may be strided.
  void matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, bool accumulate);
  /// out[R,N] = x[R,K] weight[N,K]^T + bias[N]; bias may be empty; out and x may be strided.
  void linear_forward(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias);
  /// Gradients of linear_forward. dx[R,K] = dy weight (skipped when empty; adds into dx with `add_dx`);
  /// dweight[N,K] += dy^T x and dbias[N] += column sums of dy (skipped when empty), or = as `write` says. x, dy, dx may
  /// be strided.
  void linear_backward(const Tensor& dx, const Tensor& dweight, const Tensor& dbias, const Tensor& dy, const Tensor& x,
                       const Tensor& weight, bool add_dx, GradientWrite write);
  /// The first half of an MLP: pre[R,N] = x[R,K] weight[N,K]^T + bias[N], out[R,N] = gelu(pre). All contiguous. out may
  /// be pre, when no backward pass follows.
  void linear_gelu_forward(const Tensor& out, const Tensor& pre, const Tensor& x, const Tensor& weight,
                           const Tensor& bias);
  /// Gradients of the second half, y[R,N] = gelu(pre[R,K]) weight[N,K]^T + bias: dpre = (dy weight) * gelu'(pre);
  /// dweight += dy^T gelu(pre), dbias += column sums of dy and dpre_sums[K] += those of dpre (the gradient of the first
  /// half's bias), or = as `write` says. With `kept` dpre holds gelu(pre) when it is called, as linear_gelu_forward
  /// gave it; else that is computed again. All contiguous; destroys pre.
  void gelu_linear_backward(const Tensor& dpre, const Tensor& dpre_sums, const Tensor& dweight, const Tensor& dbias,
                            const Tensor& dy, const Tensor& pre, const Tensor& weight, bool kept, GradientWrite write);

  // ---- activations --------------------------------------------------------------------------------------
  /// GELU, tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). out may alias x.
  void gelu_forward(const Tensor& out, const Tensor& x);
  /// dx = dy * gelu'(x). dx may alias dy.
  void gelu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x);
  /// SiLU: x / (1 + exp(-x)). out may alias x.
  void silu_forward(const Tensor& out, const Tensor& x);
  /// dx = dy * silu'(x). dx may alias dy.
  void silu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x);

  // ---- normalisation and modulation (adaLN, as in DiT) ---------------------------------------------------
  /// out[N,T,C] = (x - mean) * rstd * (1 + scale[n]) + shift[n], mean and rstd over C with variance + epsilon.
  /// shift, scale [N,C] strided. mean, rstd [N,T] are kept for the backward pass.
  void norm_modulate_forward(const Tensor& out, const Tensor& mean, const Tensor& rstd, const Tensor& x,
                             const Tensor& shift, const Tensor& scale, double epsilon);
  /// Gradients of norm_modulate_forward: adds into dx[N,T,C]; overwrites dshift, dscale [N,C] (strided).
  void norm_modulate_backward(const Tensor& dx, const Tensor& dshift, const Tensor& dscale, const Tensor& dout,
                              const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& scale);
  /// out[N,T,C] = x + gate[n] * h; gate [N,C] strided. out may alias x.
  void gated_residual_forward(const Tensor& out, const Tensor& x, const Tensor& h, const Tensor& gate);
  /// dh[N,T,C] = gate[n] * dout; dgate[N,C] = sum over T of dout * h (overwrites; strided).
  /// The gradient of x is dout itself. dh may alias h.
  void gated_residual_backward(const Tensor& dh, const Tensor& dgate, const Tensor& dout, const Tensor& h,
                               const Tensor& gate);

  // ---- attention ----------------------------------------------------------------------------------------
  /// Multi-head attention, softmax(q k^T / sqrt(D)) v over the keys that form.mask shows each query. q[N,T,heads*D];
  /// k, v [N,S,kv_heads*D], each as [N,T,C], whose samples may be apart, or as [N*T,C], whose rows may be: so columns
  /// of packed rows, and a cache's used part, are operands as they lie. out is like q; log_sum_exp[N,heads,T] is the
  /// log of the sum that the softmax divided by. A query that sees no key gets out = 0 and -infinity. No T x S matrix
  /// outlives the call.
  void attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                         const Tensor& v, const AttentionForm& form);
  /// dq, dk, dv, like q, k, v, from dout; each is overwritten or added to as said. The gradient of a part of a merged
  /// attention: the same call on the part's k, v and mask with the merged out and log_sum_exp, and form.merged. Those
  /// make the probabilities, exp(score - log_sum_exp), and the row sums, dout . out, what they are over all parts, so
  /// that dk and dv of a part are complete and the dq of the parts add up.
  void attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& dout, const Tensor& out,
                          const Tensor& log_sum_exp, const Tensor& q, const Tensor& k, const Tensor& v,
                          const AttentionForm& form, GradientWrite write_dq, GradientWrite write_dkv);
  /// What one attention over the keys of both parts would give, from two over keys that they do not share:
  /// log_sum_exp = log(exp(sums_a) + exp(sums_b)), out = exp(sums_a - log_sum_exp) out_a + exp(sums_b - log_sum_exp)
  /// out_b. out and log_sum_exp may be one part's. It has no backward pass: see attention_backward.
  void attention_merge(const Tensor& out, const Tensor& log_sum_exp, const Tensor& out_a, const Tensor& sums_a,
                       const Tensor& out_b, const Tensor& sums_b);

  /// Rotary positions (Su et al. 2021): in every head of D numbers the pair x[i], x[i+D/2], i < D/2, of token t turns
  /// by the angle whose cosine and sine angles[T,D] has at [t,i] and [t,D/2+i]:
  ///   out[i] = x[i] cos - x[i+D/2] sin, out[i+D/2] = x[i+D/2] cos + x[i] sin,
  /// or back with `inverse`, which is the gradient. x and out are operands as those of attention are, of any number of
  /// heads; angles, of precise(dtype()), begin at the position of the first token. out may be x.
  void rotary(const Tensor& out, const Tensor& x, const Tensor& angles, bool inverse);

  // ---- embeddings ---------------------------------------------------------------------------------------
  /// out[n] = table[index[n]] for every n of out[N,C], or for those that `rows` lists, each once; the others stay. An
  /// index[N], int32, that is `ignored` gives 0. One outside [0, table rows), or a row of `rows` that is not there, is
  /// refused where the host can look. A GPU reads and writes nothing there; it makes out[n] NaN, or leaves it out. So
  /// the gradient of the step is not finite, and its block stops before the update (StepState::finite). What comes from
  /// a file is to be checked before: check_indices.
  void embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index, const Tensor& rows = {},
                         std::int32_t ignored = ignored_index);
  /// Adds into dtable[V,C] the rows of dout[N,C], or those that `rows` lists; of one index they are added in the order
  /// of n, or of the list. Rows of an index that is ignored or outside the table are left out. A GPU adds more than 512
  /// rows of one index in pieces of 512, whose sums it then adds in order.
  void embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index, const Tensor& rows = {},
                          std::int32_t ignored = ignored_index);
  /// x[N,T,C] += row[T,C] for every n (positions).
  void add_rows(const Tensor& x, const Tensor& row);
  /// out[N,F]: features of c_noise = ln(sigma)/4 (method: section 1, noise conditioning):
  /// out[n,i] = cos(w_i c_noise), out[n,F/2+i] = sin(w_i c_noise), w_i = 100 * 10000^(-i/(F/2)), i < F/2.
  void noise_features(const Tensor& out, const Tensor& sigma);

  // ---- images as tokens ---------------------------------------------------------------------------------
  /// tokens[N, (H/p)*(W/p), channels*p*p] from image[N,channels,H,W] times c_in(sigma[n]) =
  /// 1/sqrt(sigma^2 + sigma_data^2) (sigma empty: times 1). Inside a token: channel, row, column.
  void patchify(const Tensor& tokens, const Tensor& image, int patch, const Tensor& sigma, double sigma_data);
  /// The inverse arrangement, no scaling: image from tokens. Also the gradient of patchify without sigma.
  void unpatchify(const Tensor& image, const Tensor& tokens, int patch);

  // ---- denoising (method: section 1) ---------------------------------------------------------------------
  /// sigma[n] drawn from `interval`, which lies where the tensors do, for sample first_sample + n of the global batch,
  /// at state->step: words (w0, w1, ..) = random_words(key, step, sample, 0);
  /// uniform_open(w1) < at_hi_fraction gives hi, else the coordinate at uniform_open(w0). Rounded once to dtype.
  void draw_sigma(const Tensor& sigma, const SigmaInterval* interval, const RandomKey& key, const StepState* state,
                  std::uint32_t first_sample);
  /// out[n,e] ~ N(0,1) for sample first_sample + n at `step`, e counted through the row: from the words of
  /// group e/4, pairs (w0,w1) and (w2,w3) by Box-Muller: r = sqrt(-2 ln u(w_even)), r cos(2 pi u(w_odd)), r sin(..).
  void random_normal(const Tensor& out, const RandomKey& key, std::uint32_t step, std::uint32_t first_sample);
  /// z[N,P] = y[N,P] + sigma[n] * eps with eps as random_normal gives at state->step.
  void add_noise(const Tensor& z, const Tensor& y, const Tensor& sigma, const RandomKey& key, const StepState* state,
                 std::uint32_t first_sample);
  /// out[n] = in[n], or null_label with probability p (uniform_open(w0) < p, group 0) and wherever in[n] < 0. int32
  /// [N]. Without a state the step is 0.
  void drop_labels(const Tensor& out, const Tensor& in, std::int32_t null_label, double p, const RandomKey& key,
                   const StepState* state, std::uint32_t first_sample);
  /// D = c_skip z + c_out F. d, z, f [N,P]; d may alias z or f.
  void denoised(const Tensor& d, const Tensor& z, const Tensor& f, const Tensor& sigma, double sigma_data);
  /// With D as above: mse[n] = mean over P of (D - y)^2, loss[n] = w(sigma[n]) * mse[n] (per sample, before any
  /// mean), and df[N,P] = gradient of loss_scale * sum_n loss[n] with respect to F (skipped when empty). df may alias
  /// f.
  void denoise_loss(const Tensor& loss, const Tensor& mse, const Tensor& df, const Tensor& z, const Tensor& y,
                    const Tensor& f, const Tensor& sigma, double sigma_data, LossWeighting weighting,
                    double loss_scale);

  /// state->loss_sum += sum of loss[n], state->mse_sum += sum of mse[n], added up in double.
  void add_losses(StepState* state, const Tensor& loss, const Tensor& mse);

  // ---- classification (the evaluation's classifier) -------------------------------------------------------
  /// loss[n] = -log softmax(logits[n])[label[n]]; dlogits[N,V] = loss_scale * (softmax - onehot), skipped when
  /// empty; dlogits may alias logits. label[N] int32. With `rows`, each at most once, for the rows that it lists alone:
  /// of the others nothing is read or written. Where the label is `ignored`, loss and gradient are 0. Other labels
  /// outside [0, V) are treated as indices of embedding_forward: refused, or NaN. With `weights` [N] the gradient is
  /// that of loss_scale * weights[n] * loss[n], and loss as it is without.
  void cross_entropy(const Tensor& loss, const Tensor& dlogits, const Tensor& logits, const Tensor& label,
                     double loss_scale, const Tensor& rows = {}, std::int32_t ignored = ignored_index,
                     const Tensor& weights = {});

  // ---- classes as targets (method: section 1, discrete targets) -------------------------------------------
  /// out[r] = table[r] / |table[r]|, norm[r] = |table[r]| (Euclidean); out, table [R,C] and norm [R] of
  /// precise(dtype()). A row of zeros gives zeros.
  void normalise_rows(const Tensor& out, const Tensor& norm, const Tensor& table);
  /// Gradient of normalise_rows: adds (dout - out * (out . dout)) / norm[r] into dtable; nothing for a row of zeros.
  void normalise_rows_backward(const Tensor& dtable, const Tensor& dout, const Tensor& out, const Tensor& norm);
  /// out[n] = factor(sigma[n]) * x[n], or out += with `accumulate`. x [N,P] of precise(dtype()); out [N,P] of that or
  /// of dtype(); out may alias x where their types agree.
  void scale_by_level(const Tensor& out, const Tensor& x, const Tensor& sigma, LevelFactor factor, double sigma_data,
                      bool accumulate);
  /// p[n] = softmax(logits[n]), [N,V] of precise(dtype()); p may alias logits.
  void softmax(const Tensor& p, const Tensor& logits);
  /// out[n,e] = x[n,e] / (1 - p), or 0 with probability p, for sample first_sample + n of the global batch at
  /// state->step: where uniform_open(word e % 4 of group e / 4) < p, e counted through the row. Its own gradient, with
  /// the same key. out may alias x; 0 <= p < 1.
  void dropout(const Tensor& out, const Tensor& x, double p, const RandomKey& key, const StepState* state,
               std::uint32_t first_sample);

  // ---- masked tokens (method: section 6, exact masked objective) ------------------------------------------
  // Levels are [N], or [N,K] for K chunks of a sample, each a level for its own tokens; of a level m/n exactly m of n
  // tokens are masked. Tokens are int32 [N,T], and `mask`, none of them, stands for a masked one.
  /// level = m/tokens, m = lo + 1 + floor((hi - lo) frac(u + i/I)), rounded once: for level i of the I of the global
  /// batch of `of_samples` samples, where the interval, which lies where the tensors do, is [lo, hi]/tokens, and u is
  /// uniform_open(w0) of random_words(key, state->step, 0, 0). So the levels of a batch lie apart by equal steps.
  /// Sample 0 is sample first_sample of the global batch.
  void draw_mask_levels(const Tensor& level, const SigmaInterval* interval, std::int64_t tokens, const RandomKey& key,
                        const StepState* state, std::uint32_t first_sample, std::int64_t of_samples);
  /// noisy = tokens, but for the m positions t of each chunk whose random words, word t % 4 of group t / 4 for sample
  /// first_sample + n at state->step, are its smallest, of equal ones the first: those become `mask`.
  void mask_tokens(const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask,
                   const RandomKey& key, const StepState* state, std::uint32_t first_sample);
  /// Lists the masked rows of the N*T: rows[M] has their numbers, in order, labels[M] their tokens, weights[M], of
  /// precise(dtype()), 1/(K m), by which the losses of a sample's rows make its own: a mean over chunks of means over
  /// masked tokens. Behind the last come `ignored_index` and weights of 0. places[N,T] has for each row where it is
  /// listed, for others ignored_index. M has room for what there is; a row that finds none has the place where it would
  /// be, outside the list.
  void list_masked(const Tensor& rows, const Tensor& labels, const Tensor& weights, const Tensor& places,
                   const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask);
  /// out[n] = sum of weights[m] x[m] over the places m that places[N,T] lists for n; out [N], x and weights [M] of
  /// precise(dtype()). A place outside is refused where the host can look; a GPU makes out[n] NaN.
  void sum_listed(const Tensor& out, const Tensor& x, const Tensor& weights, const Tensor& places);

  // ---- optimizer ----------------------------------------------------------------------------------------
  /// state->gradient_square_sum += sum of x^2, added up in double in a fixed order.
  void sum_squares(StepState* state, const Tensor& x);
  /// From gradient_square_sum and clip_norm: sets gradient_scale, and finite to 0 where they are not (see StepState).
  void clip_gradient(StepState* state);
  /// One AdamW update (Loshchilov & Hutter 2019) of the flat tensors p, m, v from g * state->gradient_scale, all of
  /// precise(dtype()). Where the network computes in another type, `working` takes p in it; else it is empty.
  /// Nothing changes when state->finite is 0.
  void adamw(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& working, const Tensor& g,
             const StepState* state, const AdamWParameters& parameters);
  /// average = decay * average + (1 - decay) * p; nothing when state->finite is 0.
  void exponential_average(const Tensor& average, const Tensor& p, double decay, const StepState* state);

 private:
  /// int32, each `ignored` or in [0, rows); looked at where the host can.
  void expect_indices(const Tensor& index, std::int64_t rows, std::int32_t ignored) const;

  std::unique_ptr<Backend> backend_;
};

/// CPU implementation on `threads` threads (at least 1). float32.
std::unique_ptr<Ops> make_cpu_ops(int threads);

/// Reference implementation: float64, one thread, plain loops. In the library blocktrain_reference, for tests only.
std::unique_ptr<Ops> make_reference_ops();

}  // namespace blocktrain::kernels
