// The checks of what only training with noise needs: images as tokens, denoising, losses, the optimizer.
#include "kernels/backend.hpp"
#include "kernels/check_operands.hpp"
#include "kernels/ops.hpp"

namespace blocktrain::kernels {
using namespace check;
namespace {

/// tokens[N, (H/p)*(W/p), channels*p*p] of image[N,channels,H,W].
bool cuts_into(const Tensor& image, const Tensor& tokens, int patch) {
  return patch >= 1 && image.rank == 4 && tokens.rank == 3 && image.contiguous() && tokens.contiguous() &&
         image.dim(2) % patch == 0 && image.dim(3) % patch == 0 && tokens.dim(0) == image.dim(0) &&
         tokens.dim(1) == image.dim(2) / patch * (image.dim(3) / patch) &&
         tokens.dim(2) == image.dim(1) * patch * patch;
}

/// Ascending, not empty, apart from each other and inside `size` elements.
bool in_order(std::span<const ElementRange> ranges, std::int64_t size) {
  std::int64_t done = 0;
  for (const ElementRange& r : ranges) {
    if (r.begin < done || r.end <= r.begin || r.end > size) return false;
    done = r.end;
  }
  return true;
}

}  // namespace

void Ops::patchify(const Tensor& tokens, const Tensor& image, int patch, const Tensor& sigma, double sigma_data) {
  BLOCKTRAIN_EXPECTS(cuts_into(image, tokens, patch));
  BLOCKTRAIN_EXPECTS(tokens.dtype == dtype() || tokens.dtype == precise(dtype()));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), image) && apart(tokens, image));
  BLOCKTRAIN_EXPECTS(sigma.empty() || (flat(sigma, image.dim(0)) && typed(precise(dtype()), sigma)));
  backend_->patchify(tokens, image, patch, sigma, sigma_data);
}

void Ops::unpatchify(const Tensor& image, const Tensor& tokens, int patch) {
  BLOCKTRAIN_EXPECTS(cuts_into(image, tokens, patch));
  BLOCKTRAIN_EXPECTS(tokens.dtype == dtype() || tokens.dtype == precise(dtype()));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), image) && apart(image, tokens));
  backend_->unpatchify(image, tokens, patch);
}

void Ops::draw_sigma(const Tensor& sigma, const SigmaInterval* interval, const RandomKey& key, const StepState* state,
                     std::uint32_t first_sample) {
  BLOCKTRAIN_EXPECTS(sigma.contiguous() && typed(precise(dtype()), sigma) && interval != nullptr && state != nullptr);
  if (backend_->on_host()) BLOCKTRAIN_EXPECTS(interval->lo > 0 && interval->lo <= interval->hi);
  backend_->draw_sigma(sigma, interval, key, state, first_sample);
}

void Ops::random_normal(const Tensor& out, const RandomKey& key, std::uint32_t step, std::uint32_t first_sample) {
  BLOCKTRAIN_EXPECTS(out.dtype == dtype() || out.dtype == precise(dtype()));
  backend_->random_normal(out, key, step, first_sample);
}

void Ops::add_noise(const Tensor& z, const Tensor& y, const Tensor& sigma, const RandomKey& key, const StepState* state,
                    std::uint32_t first_sample) {
  BLOCKTRAIN_EXPECTS(z.contiguous() && packed(y, z.dim(0), z.row_size()) && flat(sigma, z.dim(0)));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), z, y, sigma) && state != nullptr);
  backend_->add_noise(z, y, sigma, key, state, first_sample);
}

void Ops::drop_labels(const Tensor& out, const Tensor& in, std::int32_t null_label, double p, const RandomKey& key,
                      const StepState* state, std::uint32_t first_sample) {
  BLOCKTRAIN_EXPECTS(out.contiguous() && flat(in, out.size()) && typed(DType::int32, out, in));
  backend_->drop_labels(out, in, null_label, p, key, state, first_sample);
}

void Ops::denoised(const Tensor& d, const Tensor& z, const Tensor& f, const Tensor& sigma, double sigma_data) {
  BLOCKTRAIN_EXPECTS(z.contiguous() && flat(d, z.size()) && flat(f, z.size()) && flat(sigma, z.dim(0)));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), d, z, f, sigma));
  backend_->denoised(d, z, f, sigma, sigma_data);
}

void Ops::denoise_loss(const Tensor& loss, const Tensor& mse, const Tensor& df, const Tensor& z, const Tensor& y,
                       const Tensor& f, const Tensor& sigma, double sigma_data, LossWeighting weighting,
                       double loss_scale) {
  BLOCKTRAIN_EXPECTS(z.contiguous() && flat(y, z.size()) && flat(f, z.size()) && flat(sigma, z.dim(0)));
  BLOCKTRAIN_EXPECTS(flat(loss, z.dim(0)) && flat(mse, z.dim(0)) && (df.empty() || flat(df, z.size())));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), loss, mse, z, y, f, sigma));
  BLOCKTRAIN_EXPECTS(df.empty() || (typed(precise(dtype()), df) && apart(df, z, y)));
  backend_->denoise_loss(loss, mse, df, z, y, f, sigma, sigma_data, weighting, loss_scale);
}

void Ops::add_losses(StepState* state, const Tensor& loss, const Tensor& mse) {
  BLOCKTRAIN_EXPECTS(state != nullptr && loss.contiguous() && flat(mse, loss.size()));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), loss, mse));
  backend_->add_losses(state, loss, mse);
}

void Ops::cross_entropy(const Tensor& loss, const Tensor& dlogits, const Tensor& logits, const Tensor& label,
                        double loss_scale, const Tensor& rows, std::int32_t ignored, const Tensor& weights) {
  const std::int64_t samples = logits.dim(0), classes = logits.row_size();
  BLOCKTRAIN_EXPECTS(classes >= 1 && logits.contiguous() && flat(loss, samples) && label.size() == samples);
  BLOCKTRAIN_EXPECTS(dlogits.empty() || packed(dlogits, samples, classes));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), loss, logits) && (dlogits.empty() || typed(logits.dtype, dlogits)));
  expect_indices(label, classes, ignored);
  if (!rows.empty()) expect_indices(rows, samples, 0);
  BLOCKTRAIN_EXPECTS(weights.empty() || (flat(weights, samples) && typed(logits.dtype, weights)));
  backend_->cross_entropy(loss, dlogits, logits, label, loss_scale, rows, ignored, weights);
}

void Ops::normalise_rows(const Tensor& out, const Tensor& norm, const Tensor& table) {
  const std::int64_t rows = table.dim(0);
  BLOCKTRAIN_EXPECTS(table.contiguous() && packed(out, rows, table.row_size()) && flat(norm, rows) &&
                     apart(out, table));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), out, norm, table));
  backend_->normalise_rows(out, norm, table);
}

void Ops::normalise_rows_backward(const Tensor& dtable, const Tensor& dout, const Tensor& out, const Tensor& norm) {
  const std::int64_t rows = out.dim(0), columns = out.row_size();
  BLOCKTRAIN_EXPECTS(out.contiguous() && packed(dtable, rows, columns) && packed(dout, rows, columns));
  BLOCKTRAIN_EXPECTS(flat(norm, rows) && apart(dtable, dout, out) && typed(precise(dtype()), dtable, dout, out, norm));
  backend_->normalise_rows_backward(dtable, dout, out, norm);
}

void Ops::scale_by_level(const Tensor& out, const Tensor& x, const Tensor& sigma, LevelFactor factor, double sigma_data,
                         bool accumulate) {
  const std::int64_t samples = x.dim(0);
  BLOCKTRAIN_EXPECTS(x.contiguous() && packed(out, samples, x.row_size()) && flat(sigma, samples));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), x, sigma) && (out.dtype == dtype() || out.dtype == x.dtype));
  BLOCKTRAIN_EXPECTS(out.dtype == x.dtype || apart(out, x));
  backend_->scale_by_level(out, x, sigma, factor, sigma_data, accumulate);
}

void Ops::softmax(const Tensor& p, const Tensor& logits) {
  BLOCKTRAIN_EXPECTS(logits.contiguous() && logits.row_size() >= 1 && packed(p, logits.dim(0), logits.row_size()));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), p, logits));
  backend_->softmax(p, logits);
}

void Ops::dropout(const Tensor& out, const Tensor& x, double p, const RandomKey& key, const StepState* state,
                  std::uint32_t first_sample) {
  BLOCKTRAIN_EXPECTS(x.contiguous() && packed(out, x.dim(0), x.row_size()) && typed(dtype(), out, x));
  BLOCKTRAIN_EXPECTS(p >= 0 && p < 1 && state != nullptr);
  backend_->dropout(out, x, p, key, state, first_sample);
}

void Ops::sum_squares(StepState* state, const Tensor& x) {
  BLOCKTRAIN_EXPECTS(state != nullptr && x.contiguous() && typed(precise(dtype()), x));
  backend_->sum_squares(state, x);
}

void Ops::clip_gradient(StepState* state) {
  BLOCKTRAIN_EXPECTS(state != nullptr);
  backend_->clip_gradient(state);
}

void Ops::adamw(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& working, const Tensor& g,
                const StepState* state, const AdamWParameters& parameters) {
  BLOCKTRAIN_EXPECTS(state != nullptr && p.contiguous());
  BLOCKTRAIN_EXPECTS(flat(m, p.size()) && flat(v, p.size()) && flat(g, p.size()));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), p, m, v, g) && apart(p, m, v, g) && apart(m, v, g) && apart(v, g));
  BLOCKTRAIN_EXPECTS(working.empty() || (flat(working, p.size()) && typed(dtype(), working) && apart(working, p)));
  BLOCKTRAIN_EXPECTS(in_order(parameters.undecayed, p.size()));
  backend_->adamw(p, m, v, working, g, state, parameters);
}

void Ops::exponential_average(const Tensor& average, const Tensor& p, double decay, const StepState* state) {
  BLOCKTRAIN_EXPECTS(state != nullptr && average.contiguous() && flat(p, average.size()));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), average, p) && apart(average, p));
  backend_->exponential_average(average, p, decay, state);
}

}  // namespace blocktrain::kernels
