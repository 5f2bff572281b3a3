#pragma once
/// The backend of a pretended GPU: that of the CPU, on operands that have to lie in the pretended GPU's memory, and
/// carried out as late as they may be.

#include <functional>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/backend.hpp"
#include "tests/pretended_gpu/pretend_memory.hpp"

namespace blocktrain::trainer::testing {

using kernels::AdamWParameters;
using kernels::GradientWrite;
using kernels::RandomKey;
using kernels::StepState;
using kernels::Tensor;

class PretendBackend final : public kernels::Backend {
 public:
  bool on_host() const override { return false; }
  kernels::DType dtype() const override { return cpu_->dtype(); }
  const char* name() const override { return "cuda"; }
  void synchronize() override {
    const PretendMemory::Working working;
    for (const auto& work : queue_) work();
    queue_.clear();
  }
  /// Puts `work` behind the ops asked for so far.
  void enqueue(std::function<void()> work) { queue_.push_back(std::move(work)); }

  /// What draw_sigma and add_noise were asked to draw by.
  std::vector<RandomKey> sigma_keys, noise_keys;

  void fill(const Tensor& out, double value) override { later(&Backend::fill, out, value); }
  void copy(const Tensor& out, const Tensor& in) override { later(&Backend::copy, out, in); }
  void convert(const Tensor& out, const Tensor& in) override { later(&Backend::convert, out, in); }
  void add(const Tensor& out, const Tensor& in) override { later(&Backend::add, out, in); }
  void axpby(const Tensor& out, double a, const Tensor& x, double b, const Tensor& y) override {
    later(&Backend::axpby, out, a, x, b, y);
  }
  void matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
              bool accumulate) override {
    later(&Backend::matmul, c, a, transpose_a, b, transpose_b, accumulate);
  }
  void linear_forward(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias) override {
    later(&Backend::linear_forward, out, x, weight, bias);
  }
  void linear_backward(const Tensor& dx, const Tensor& dweight, const Tensor& dbias, const Tensor& dy, const Tensor& x,
                       const Tensor& weight, bool add_dx, GradientWrite write) override {
    later(&Backend::linear_backward, dx, dweight, dbias, dy, x, weight, add_dx, write);
  }
  void linear_gelu_forward(const Tensor& out, const Tensor& pre, const Tensor& x, const Tensor& weight,
                           const Tensor& bias) override {
    later(&Backend::linear_gelu_forward, out, pre, x, weight, bias);
  }
  void gelu_linear_backward(const Tensor& dpre, const Tensor& dpre_sums, const Tensor& dweight, const Tensor& dbias,
                            const Tensor& dy, const Tensor& pre, const Tensor& weight, bool kept,
                            GradientWrite write) override {
    later(&Backend::gelu_linear_backward, dpre, dpre_sums, dweight, dbias, dy, pre, weight, kept, write);
  }
  void gelu_forward(const Tensor& out, const Tensor& x) override { later(&Backend::gelu_forward, out, x); }
  void gelu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) override {
    later(&Backend::gelu_backward, dx, dy, x);
  }
  void silu_forward(const Tensor& out, const Tensor& x) override { later(&Backend::silu_forward, out, x); }
  void silu_backward(const Tensor& dx, const Tensor& dy, const Tensor& x) override {
    later(&Backend::silu_backward, dx, dy, x);
  }
  void norm_modulate_forward(const Tensor& out, const Tensor& mean, const Tensor& rstd, const Tensor& x,
                             const Tensor& shift, const Tensor& scale, double epsilon) override {
    later(&Backend::norm_modulate_forward, out, mean, rstd, x, shift, scale, epsilon);
  }
  void norm_modulate_backward(const Tensor& dx, const Tensor& dshift, const Tensor& dscale, const Tensor& dout,
                              const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& scale) override {
    later(&Backend::norm_modulate_backward, dx, dshift, dscale, dout, x, mean, rstd, scale);
  }
  void gated_residual_forward(const Tensor& out, const Tensor& x, const Tensor& h, const Tensor& gate) override {
    later(&Backend::gated_residual_forward, out, x, h, gate);
  }
  void gated_residual_backward(const Tensor& dh, const Tensor& dgate, const Tensor& dout, const Tensor& h,
                               const Tensor& gate) override {
    later(&Backend::gated_residual_backward, dh, dgate, dout, h, gate);
  }
  void attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                         const Tensor& v, const kernels::AttentionForm& form) override {
    later(&Backend::attention_forward, out, log_sum_exp, q, k, v, form);
  }
  void attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& dout, const Tensor& out,
                          const Tensor& log_sum_exp, const Tensor& q, const Tensor& k, const Tensor& v,
                          const kernels::AttentionForm& form, GradientWrite write_dq,
                          GradientWrite write_dkv) override {
    later(&Backend::attention_backward, dq, dk, dv, dout, out, log_sum_exp, q, k, v, form, write_dq, write_dkv);
  }
  void attention_merge(const Tensor& out, const Tensor& log_sum_exp, const Tensor& out_a, const Tensor& sums_a,
                       const Tensor& out_b, const Tensor& sums_b) override {
    later(&Backend::attention_merge, out, log_sum_exp, out_a, sums_a, out_b, sums_b);
  }
  void embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index, const Tensor& rows,
                         std::int32_t ignored) override {
    later(&Backend::embedding_forward, out, table, index, rows, ignored);
  }
  void embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index, const Tensor& rows,
                          std::int32_t ignored) override {
    later(&Backend::embedding_backward, dtable, dout, index, rows, ignored);
  }
  void add_rows(const Tensor& x, const Tensor& row) override { later(&Backend::add_rows, x, row); }
  void noise_features(const Tensor& out, const Tensor& sigma) override { later(&Backend::noise_features, out, sigma); }
  void patchify(const Tensor& tokens, const Tensor& image, int patch, const Tensor& sigma, double sigma_data) override {
    later(&Backend::patchify, tokens, image, patch, sigma, sigma_data);
  }
  void unpatchify(const Tensor& image, const Tensor& tokens, int patch) override {
    later(&Backend::unpatchify, image, tokens, patch);
  }
  void draw_sigma(const Tensor& sigma, const kernels::SigmaInterval* interval, const RandomKey& key,
                  const StepState* state, std::uint32_t first_sample) override {
    sigma_keys.push_back(key);
    later(&Backend::draw_sigma, sigma, interval, key, state, first_sample);
  }
  void random_normal(const Tensor& out, const RandomKey& key, std::uint32_t step, std::uint32_t first_sample) override {
    later(&Backend::random_normal, out, key, step, first_sample);
  }
  void add_noise(const Tensor& z, const Tensor& y, const Tensor& sigma, const RandomKey& key, const StepState* state,
                 std::uint32_t first_sample) override {
    noise_keys.push_back(key);
    later(&Backend::add_noise, z, y, sigma, key, state, first_sample);
  }
  void drop_labels(const Tensor& out, const Tensor& in, std::int32_t null_label, double p, const RandomKey& key,
                   const StepState* state, std::uint32_t first_sample) override {
    later(&Backend::drop_labels, out, in, null_label, p, key, state, first_sample);
  }
  void denoised(const Tensor& d, const Tensor& z, const Tensor& f, const Tensor& sigma, double sigma_data) override {
    later(&Backend::denoised, d, z, f, sigma, sigma_data);
  }
  void denoise_loss(const Tensor& loss, const Tensor& mse, const Tensor& df, const Tensor& z, const Tensor& y,
                    const Tensor& f, const Tensor& sigma, double sigma_data, kernels::LossWeighting weighting,
                    double loss_scale) override {
    later(&Backend::denoise_loss, loss, mse, df, z, y, f, sigma, sigma_data, weighting, loss_scale);
  }
  void add_losses(StepState* state, const Tensor& loss, const Tensor& mse) override {
    later(&Backend::add_losses, state, loss, mse);
  }
  void cross_entropy(const Tensor& loss, const Tensor& dlogits, const Tensor& logits, const Tensor& label,
                     double loss_scale, const Tensor& rows, std::int32_t ignored, const Tensor& weights) override {
    later(&Backend::cross_entropy, loss, dlogits, logits, label, loss_scale, rows, ignored, weights);
  }
  void normalise_rows(const Tensor& out, const Tensor& norm, const Tensor& table) override {
    later(&Backend::normalise_rows, out, norm, table);
  }
  void normalise_rows_backward(const Tensor& dtable, const Tensor& dout, const Tensor& out,
                               const Tensor& norm) override {
    later(&Backend::normalise_rows_backward, dtable, dout, out, norm);
  }
  void scale_by_level(const Tensor& out, const Tensor& x, const Tensor& sigma, kernels::LevelFactor factor,
                      double sigma_data, bool accumulate) override {
    later(&Backend::scale_by_level, out, x, sigma, factor, sigma_data, accumulate);
  }
  void softmax(const Tensor& p, const Tensor& logits) override { later(&Backend::softmax, p, logits); }
  void dropout(const Tensor& out, const Tensor& x, double p, const RandomKey& key, const StepState* state,
               std::uint32_t first_sample) override {
    later(&Backend::dropout, out, x, p, key, state, first_sample);
  }
  void rotary(const Tensor& out, const Tensor& x, const Tensor& angles, bool inverse) override {
    later(&Backend::rotary, out, x, angles, inverse);
  }
  void draw_mask_levels(const Tensor& level, const kernels::SigmaInterval* interval, std::int64_t tokens,
                        const RandomKey& key, const StepState* state, std::uint32_t first_sample,
                        std::int64_t of_samples) override {
    later(&Backend::draw_mask_levels, level, interval, tokens, key, state, first_sample, of_samples);
  }
  void mask_tokens(const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask,
                   const RandomKey& key, const StepState* state, std::uint32_t first_sample) override {
    later(&Backend::mask_tokens, noisy, tokens, level, mask, key, state, first_sample);
  }
  void list_masked(const Tensor& rows, const Tensor& labels, const Tensor& weights, const Tensor& places,
                   const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask) override {
    later(&Backend::list_masked, rows, labels, weights, places, noisy, tokens, level, mask);
  }
  void sum_listed(const Tensor& out, const Tensor& x, const Tensor& weights, const Tensor& places) override {
    later(&Backend::sum_listed, out, x, weights, places);
  }
  void sum_squares(StepState* state, const Tensor& x) override { later(&Backend::sum_squares, state, x); }
  void clip_gradient(StepState* state) override { later(&Backend::clip_gradient, state); }
  void adamw(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& working, const Tensor& g,
             const StepState* state, const AdamWParameters& parameters) override {
    later(&Backend::adamw, p, m, v, working, g, state, parameters);
  }
  void exponential_average(const Tensor& average, const Tensor& p, double decay, const StepState* state) override {
    later(&Backend::exponential_average, average, p, decay, state);
  }

 private:
  /// An operand in host memory is a mistake that a GPU would answer with a fault of its own.
  template <class T>
  static void require_on_device(const T& operand) {
    const void* memory = nullptr;
    std::size_t bytes = 0;
    if constexpr (std::is_same_v<T, Tensor>) {
      memory = operand.data;
      const std::int64_t rows = operand.empty() ? 0 : operand.dim(0);
      if (rows > 0) {
        bytes = static_cast<std::size_t>((rows - 1) * operand.row_stride + operand.row_size()) * size_of(operand.dtype);
      }
    } else if constexpr (std::is_pointer_v<T>) {
      memory = operand;
      bytes = sizeof(std::remove_pointer_t<T>);
    }
    if (memory != nullptr && !PretendMemory::holds(memory, bytes)) {
      throw std::logic_error("an op of a pretended GPU was given an operand that is not in its memory");
    }
  }

  template <class... P, class... A>
  void later(void (kernels::Backend::*op)(P...), const A&... operands) {
    (require_on_device(operands), ...);
    queue_.push_back([this, op, operands...] { (cpu_.get()->*op)(operands...); });
  }

  std::unique_ptr<kernels::Backend> cpu_ = kernels::make_cpu_backend(1);
  std::vector<std::function<void()>> queue_;
};

}  // namespace blocktrain::trainer::testing
