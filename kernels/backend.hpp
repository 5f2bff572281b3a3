#pragma once
/// What a device implements: the operations of Ops (ops.hpp), with the same names and arguments, which say what each
/// does. Operands have been checked: an implementation sees types, shapes, strides and, in host memory, indices that
/// fit, and checks only what is its own, such as the room of its scratch memory. Implementations:
///   kernels/cpu/        float32, vectorised and threaded
///   kernels/cuda/       float32 and bfloat16 on NVIDIA GPUs
///   kernels/reference/  float64, plain loops: the readable truth, linked only by tests

#include <cstdint>
#include <memory>

#include "kernels/attention.hpp"
#include "kernels/op_types.hpp"
#include "kernels/random.hpp"
#include "kernels/step_state.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::kernels {

class Backend {
 public:
  virtual ~Backend() = default;
  virtual DType dtype() const = 0;
  virtual const char* name() const = 0;
  virtual void synchronize() = 0;
  /// Whether the host may read the tensors' memory where it is; indices are then checked before an op.
  virtual bool on_host() const = 0;
  virtual void fill(const Tensor& out, double value) = 0;
  virtual void copy(const Tensor& out, const Tensor& in) = 0;
  virtual void convert(const Tensor& out, const Tensor& in) = 0;
  virtual void add(const Tensor& out, const Tensor& in) = 0;
  virtual void axpby(const Tensor& out, double a, const Tensor& x, double b, const Tensor& y) = 0;
  virtual void matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                      bool accumulate) = 0;
  virtual void linear_forward(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias) = 0;
  virtual void linear_backward(const Tensor& dx, const Tensor& dweight, const Tensor& dbias, const Tensor& dy,
                               const Tensor& x, const Tensor& weight, bool add_dx, GradientWrite write) = 0;
  virtual void linear_gelu_forward(const Tensor& out, const Tensor& pre, const Tensor& x, const Tensor& weight,
                                   const Tensor& bias) = 0;
  virtual void gelu_linear_backward(const Tensor& dpre, const Tensor& dpre_sums, const Tensor& dweight,
                                    const Tensor& dbias, const Tensor& dy, const Tensor& pre, const Tensor& weight,
                                    bool kept, GradientWrite write) = 0;
  virtual void gelu_forward(const Tensor& out, const Tensor& x) = 0;
  virtual void gelu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) = 0;
  virtual void silu_forward(const Tensor& out, const Tensor& x) = 0;
  virtual void silu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) = 0;
  virtual void norm_modulate_forward(const Tensor& out, const Tensor& mean, const Tensor& rstd, const Tensor& x,
                                     const Tensor& shift, const Tensor& scale, double epsilon) = 0;
  virtual void norm_modulate_backward(const Tensor& dx, const Tensor& dshift, const Tensor& dscale, const Tensor& dout,
                                      const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& scale) = 0;
  virtual void gated_residual_forward(const Tensor& out, const Tensor& x, const Tensor& h, const Tensor& gate) = 0;
  virtual void gated_residual_backward(const Tensor& dh, const Tensor& dgate, const Tensor& dout, const Tensor& h,
                                       const Tensor& gate) = 0;
  virtual void attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                                 const Tensor& v, const AttentionForm& form) = 0;
  virtual void attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& dout,
                                  const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                                  const Tensor& v, const AttentionForm& form, GradientWrite write_dq,
                                  GradientWrite write_dkv) = 0;
  virtual void attention_merge(const Tensor& out, const Tensor& log_sum_exp, const Tensor& out_a, const Tensor& sums_a,
                               const Tensor& out_b, const Tensor& sums_b) = 0;
  virtual void rotary(const Tensor& out, const Tensor& x, const Tensor& angles, bool inverse) = 0;
  virtual void embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index, const Tensor& rows,
                                 std::int32_t ignored) = 0;
  virtual void embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index, const Tensor& rows,
                                  std::int32_t ignored) = 0;
  virtual void add_rows(const Tensor& x, const Tensor& row) = 0;
  virtual void noise_features(const Tensor& out, const Tensor& sigma) = 0;
  virtual void patchify(const Tensor& tokens, const Tensor& image, int patch, const Tensor& sigma,
                        double sigma_data) = 0;
  virtual void unpatchify(const Tensor& image, const Tensor& tokens, int patch) = 0;
  virtual void draw_sigma(const Tensor& sigma, const SigmaInterval* interval, const RandomKey& key,
                          const StepState* state, std::uint32_t first_sample) = 0;
  virtual void random_normal(const Tensor& out, const RandomKey& key, std::uint32_t step,
                             std::uint32_t first_sample) = 0;
  virtual void add_noise(const Tensor& z, const Tensor& y, const Tensor& sigma, const RandomKey& key,
                         const StepState* state, std::uint32_t first_sample) = 0;
  virtual void drop_labels(const Tensor& out, const Tensor& in, std::int32_t null_label, double p, const RandomKey& key,
                           const StepState* state, std::uint32_t first_sample) = 0;
  virtual void denoised(const Tensor& d, const Tensor& z, const Tensor& f, const Tensor& sigma, double sigma_data) = 0;
  virtual void denoise_loss(const Tensor& loss, const Tensor& mse, const Tensor& df, const Tensor& z, const Tensor& y,
                            const Tensor& f, const Tensor& sigma, double sigma_data, LossWeighting weighting,
                            double loss_scale) = 0;
  virtual void add_losses(StepState* state, const Tensor& loss, const Tensor& mse) = 0;
  virtual void cross_entropy(const Tensor& loss, const Tensor& dlogits, const Tensor& logits, const Tensor& label,
                             double loss_scale, const Tensor& rows, std::int32_t ignored, const Tensor& weights) = 0;
  virtual void normalise_rows(const Tensor& out, const Tensor& norm, const Tensor& table) = 0;
  virtual void normalise_rows_backward(const Tensor& dtable, const Tensor& dout, const Tensor& out,
                                       const Tensor& norm) = 0;
  virtual void scale_by_level(const Tensor& out, const Tensor& x, const Tensor& sigma, LevelFactor factor,
                              double sigma_data, bool accumulate) = 0;
  virtual void softmax(const Tensor& p, const Tensor& logits) = 0;
  virtual void dropout(const Tensor& out, const Tensor& x, double p, const RandomKey& key, const StepState* state,
                       std::uint32_t first_sample) = 0;
  virtual void draw_mask_levels(const Tensor& level, const SigmaInterval* interval, std::int64_t tokens,
                                const RandomKey& key, const StepState* state, std::uint32_t first_sample,
                                std::int64_t of_samples) = 0;
  virtual void mask_tokens(const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask,
                           const RandomKey& key, const StepState* state, std::uint32_t first_sample) = 0;
  virtual void list_masked(const Tensor& rows, const Tensor& labels, const Tensor& weights, const Tensor& places,
                           const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask) = 0;
  virtual void sum_listed(const Tensor& out, const Tensor& x, const Tensor& weights, const Tensor& places) = 0;
  virtual void sum_squares(StepState* state, const Tensor& x) = 0;
  virtual void clip_gradient(StepState* state) = 0;
  virtual void adamw(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& working, const Tensor& g,
                     const StepState* state, const AdamWParameters& parameters) = 0;
  virtual void exponential_average(const Tensor& average, const Tensor& p, double decay, const StepState* state) = 0;
};

/// The CPU's, on `threads` threads (at least 1). float32.
std::unique_ptr<Backend> make_cpu_backend(int threads);

}  // namespace blocktrain::kernels
