#pragma once
/// Ops on an NVIDIA GPU, in float32 or bfloat16 (see Ops for what each does). Tensors and step states lie in device
/// memory. Calls return before the work is done; it runs in order on the ops' stream. One file per group of operations
/// stands beside this one, with the name of its twin in kernels/cpu/.
///
/// In bfloat16, activations, weights and biases are bfloat16; sums, products and statistics are computed in float32;
/// images, noise levels, losses, mean, rstd, log_sum_exp, gradients of parameters, master weights and moments are
/// stored in float32 (precise(dtype) of tensor.hpp).

#include <cuda_runtime_api.h>

#include <memory>

#include "kernels/backend.hpp"
#include "kernels/cuda/cublaslt_matmul.hpp"
#include "kernels/cuda/fused_attention.hpp"
#include "kernels/cuda/workspace.hpp"

namespace blocktrain::kernels {

/// One object serves one caller at a time.
class CudaBackend final : public Backend {
 public:
  /// On the device that is current in the calling thread. Takes its scratch memory here.
  CudaBackend(DType dtype, bool deterministic);
  ~CudaBackend() override;

  bool on_host() const override { return false; }
  DType dtype() const override { return dtype_; }
  const char* name() const override { return "cuda"; }
  /// Throws LibraryError with what went wrong on the device.
  void synchronize() override;
  cudaStream_t stream() const { return stream_; }

  void fill(const Tensor& out, double value) override;
  void copy(const Tensor& out, const Tensor& in) override;
  void convert(const Tensor& out, const Tensor& in) override;
  void add(const Tensor& out, const Tensor& in) override;
  void axpby(const Tensor& out, double a, const Tensor& x, double b, const Tensor& y) override;
  void matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
              bool accumulate) override;
  void linear_forward(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias) override;
  void linear_backward(const Tensor& dx, const Tensor& dweight, const Tensor& dbias, const Tensor& dy, const Tensor& x,
                       const Tensor& weight, bool add_dx, GradientWrite write) override;
  void linear_gelu_forward(const Tensor& out, const Tensor& pre, const Tensor& x, const Tensor& weight,
                           const Tensor& bias) override;
  void gelu_linear_backward(const Tensor& dpre, const Tensor& dpre_sums, const Tensor& dweight, const Tensor& dbias,
                            const Tensor& dy, const Tensor& pre, const Tensor& weight, bool kept,
                            GradientWrite write) override;
  void gelu_forward(const Tensor& out, const Tensor& x) override;
  void gelu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) override;
  void silu_forward(const Tensor& out, const Tensor& x) override;
  void silu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) override;
  void norm_modulate_forward(const Tensor& out, const Tensor& mean, const Tensor& rstd, const Tensor& x,
                             const Tensor& shift, const Tensor& scale, double epsilon) override;
  void norm_modulate_backward(const Tensor& dx, const Tensor& dshift, const Tensor& dscale, const Tensor& dout,
                              const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& scale) override;
  void gated_residual_forward(const Tensor& out, const Tensor& x, const Tensor& h, const Tensor& gate) override;
  void gated_residual_backward(const Tensor& dh, const Tensor& dgate, const Tensor& dout, const Tensor& h,
                               const Tensor& gate) override;
  void attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                         const Tensor& v, const AttentionForm& form) override;
  void attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& dout, const Tensor& out,
                          const Tensor& log_sum_exp, const Tensor& q, const Tensor& k, const Tensor& v,
                          const AttentionForm& form, GradientWrite write_dq, GradientWrite write_dkv) override;
  void attention_merge(const Tensor& out, const Tensor& log_sum_exp, const Tensor& out_a, const Tensor& sums_a,
                       const Tensor& out_b, const Tensor& sums_b) override;
  void rotary(const Tensor& out, const Tensor& x, const Tensor& angles, bool inverse) override;
  void embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index, const Tensor& rows,
                         std::int32_t ignored) override;
  void embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index, const Tensor& rows,
                          std::int32_t ignored) override;
  void add_rows(const Tensor& x, const Tensor& row) override;
  void noise_features(const Tensor& out, const Tensor& sigma) override;
  void patchify(const Tensor& tokens, const Tensor& image, int patch, const Tensor& sigma, double sigma_data) override;
  void unpatchify(const Tensor& image, const Tensor& tokens, int patch) override;
  void draw_sigma(const Tensor& sigma, const SigmaInterval* interval, const RandomKey& key, const StepState* state,
                  std::uint32_t first_sample) override;
  void random_normal(const Tensor& out, const RandomKey& key, std::uint32_t step, std::uint32_t first_sample) override;
  void add_noise(const Tensor& z, const Tensor& y, const Tensor& sigma, const RandomKey& key, const StepState* state,
                 std::uint32_t first_sample) override;
  void drop_labels(const Tensor& out, const Tensor& in, std::int32_t null_label, double p, const RandomKey& key,
                   const StepState* state, std::uint32_t first_sample) override;
  void denoised(const Tensor& d, const Tensor& z, const Tensor& f, const Tensor& sigma, double sigma_data) override;
  void denoise_loss(const Tensor& loss, const Tensor& mse, const Tensor& df, const Tensor& z, const Tensor& y,
                    const Tensor& f, const Tensor& sigma, double sigma_data, LossWeighting weighting,
                    double loss_scale) override;
  void add_losses(StepState* state, const Tensor& loss, const Tensor& mse) override;
  void cross_entropy(const Tensor& loss, const Tensor& dlogits, const Tensor& logits, const Tensor& label,
                     double loss_scale, const Tensor& rows, std::int32_t ignored, const Tensor& weights) override;
  void normalise_rows(const Tensor& out, const Tensor& norm, const Tensor& table) override;
  void normalise_rows_backward(const Tensor& dtable, const Tensor& dout, const Tensor& out,
                               const Tensor& norm) override;
  void scale_by_level(const Tensor& out, const Tensor& x, const Tensor& sigma, LevelFactor factor, double sigma_data,
                      bool accumulate) override;
  void softmax(const Tensor& p, const Tensor& logits) override;
  void dropout(const Tensor& out, const Tensor& x, double p, const RandomKey& key, const StepState* state,
               std::uint32_t first_sample) override;
  void draw_mask_levels(const Tensor& level, const SigmaInterval* interval, std::int64_t tokens, const RandomKey& key,
                        const StepState* state, std::uint32_t first_sample, std::int64_t of_samples) override;
  void mask_tokens(const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask,
                   const RandomKey& key, const StepState* state, std::uint32_t first_sample) override;
  void list_masked(const Tensor& rows, const Tensor& labels, const Tensor& weights, const Tensor& places,
                   const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask) override;
  void sum_listed(const Tensor& out, const Tensor& x, const Tensor& weights, const Tensor& places) override;
  void sum_squares(StepState* state, const Tensor& x) override;
  void clip_gradient(StepState* state) override;
  void adamw(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& working, const Tensor& g,
             const StepState* state, const AdamWParameters& parameters) override;
  void exponential_average(const Tensor& average, const Tensor& p, double decay, const StepState* state) override;

 private:
  /// out[columns] += sums of the matrix over its rows; out float32.
  void sum_columns(const Tensor& out, const Tensor& matrix, GradientWrite write);

  DType dtype_;
  cudaStream_t stream_ = nullptr;
  cuda::Workspace workspace_;
  cuda::CublasLtMatmul matmul_;
  std::unique_ptr<cuda::FusedAttention> fused_attention_;
};

}  // namespace blocktrain::kernels
