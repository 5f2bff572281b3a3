// The checks of what masked tokens need.
#include <limits>

#include "kernels/backend.hpp"
#include "kernels/check_operands.hpp"
#include "kernels/ops.hpp"

namespace blocktrain::kernels {
using namespace check;
namespace {

/// level[N] or [N,K] of tokens[N,T] that K divides.
bool levels_of(const Tensor& tokens, const Tensor& level) {
  return level.contiguous() && level.size() >= 1 && level.dim(0) == tokens.dim(0) &&
         tokens.row_size() % level.row_size() == 0;
}
/// Matrices of tokens, all of the shape of the first, which has no gaps.
template <class... More>
bool token_matrices(const Tensor& first, const More&... more) {
  return first.rank == 2 && first.contiguous() && (packed(more, first.dim(0), first.row_size()) && ...) &&
         typed(DType::int32, first, more...);
}

}  // namespace

void Ops::draw_mask_levels(const Tensor& level, const SigmaInterval* interval, std::int64_t tokens,
                           const RandomKey& key, const StepState* state, std::uint32_t first_sample,
                           std::int64_t of_samples) {
  BLOCKTRAIN_EXPECTS(level.contiguous() && typed(precise(dtype()), level) && interval != nullptr && state != nullptr);
  BLOCKTRAIN_EXPECTS(tokens >= 1 && of_samples >= 1);
  if (backend_->on_host()) BLOCKTRAIN_EXPECTS(interval->lo >= 0 && interval->lo < interval->hi);
  backend_->draw_mask_levels(level, interval, tokens, key, state, first_sample, of_samples);
}

void Ops::mask_tokens(const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask,
                      const RandomKey& key, const StepState* state, std::uint32_t first_sample) {
  BLOCKTRAIN_EXPECTS(token_matrices(noisy, tokens) && apart(noisy, tokens) && state != nullptr);
  BLOCKTRAIN_EXPECTS(levels_of(tokens, level) && typed(precise(dtype()), level));
  backend_->mask_tokens(noisy, tokens, level, mask, key, state, first_sample);
}

void Ops::list_masked(const Tensor& rows, const Tensor& labels, const Tensor& weights, const Tensor& places,
                      const Tensor& noisy, const Tensor& tokens, const Tensor& level, std::int32_t mask) {
  BLOCKTRAIN_EXPECTS(token_matrices(places, noisy, tokens) && apart(places, noisy, tokens));
  BLOCKTRAIN_EXPECTS(levels_of(tokens, level) && typed(precise(dtype()), level, weights));
  BLOCKTRAIN_EXPECTS(rows.contiguous() && flat(labels, rows.size()) && flat(weights, rows.size()));
  BLOCKTRAIN_EXPECTS(typed(DType::int32, rows, labels));
  BLOCKTRAIN_EXPECTS(places.size() <= std::numeric_limits<std::int32_t>::max());  // rows are counted in int32
  backend_->list_masked(rows, labels, weights, places, noisy, tokens, level, mask);
}

void Ops::sum_listed(const Tensor& out, const Tensor& x, const Tensor& weights, const Tensor& places) {
  BLOCKTRAIN_EXPECTS(places.rank == 2 && flat(out, places.dim(0)) && x.contiguous() && flat(weights, x.size()));
  BLOCKTRAIN_EXPECTS(typed(precise(dtype()), out, x, weights) && apart(out, x, weights));
  expect_indices(places, x.size(), ignored_index);
  backend_->sum_listed(out, x, weights, places);
}

}  // namespace blocktrain::kernels
