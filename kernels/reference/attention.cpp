#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;
namespace {

/// q, k, v of one head of one sample inside qkv[N,T,3*C]: the first column of each.
struct Head {
  Head(const Tensor& qkv, int heads, int head) {
    const Index width = qkv.shape[2] / 3;
    dim = width / heads;
    q = head * dim;
    k = width + head * dim;
    v = 2 * width + head * dim;
  }
  Index dim, q, k, v;
};

/// q_i . k_j / sqrt(D)
double score(const Tensor& qkv, const Head& head, Index n, Index i, Index j) {
  double sum = 0;
  for (Index d = 0; d < head.dim; ++d) sum += at(qkv, n, i, head.q + d) * at(qkv, n, j, head.k + d);
  return sum / std::sqrt(static_cast<double>(head.dim));
}

}  // namespace

void ReferenceBackend::attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& qkv, int heads) {
  const Index samples = qkv.shape[0], tokens = qkv.shape[1];
  for (Index n = 0; n < samples; ++n) {
    for (int h = 0; h < heads; ++h) {
      const Head head(qkv, heads, h);
      for (Index i = 0; i < tokens; ++i) {
        double largest = -std::numeric_limits<double>::infinity();
        for (Index j = 0; j < tokens; ++j) largest = std::max(largest, score(qkv, head, n, i, j));
        double sum = 0;
        for (Index j = 0; j < tokens; ++j) sum += std::exp(score(qkv, head, n, i, j) - largest);
        const double log_sum = largest + std::log(sum);
        at(log_sum_exp, n, h, i) = log_sum;
        for (Index d = 0; d < head.dim; ++d) at(out, n, i, head.q + d) = 0;
        for (Index j = 0; j < tokens; ++j) {
          const double p = std::exp(score(qkv, head, n, i, j) - log_sum);
          for (Index d = 0; d < head.dim; ++d) at(out, n, i, head.q + d) += p * at(qkv, n, j, head.v + d);
        }
      }
    }
  }
}

void ReferenceBackend::attention_backward(const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                                          const Tensor& log_sum_exp, const Tensor& qkv, int heads) {
  const Index samples = qkv.shape[0], tokens = qkv.shape[1];
  fill(dqkv, 0);
  for (Index n = 0; n < samples; ++n) {
    for (int h = 0; h < heads; ++h) {
      const Head head(qkv, heads, h);
      const double scale = 1 / std::sqrt(static_cast<double>(head.dim));
      for (Index i = 0; i < tokens; ++i) {
        // The gradient of softmax needs sum_j p_ij dp_ij, which is dout_i . out_i.
        double dot = 0;
        for (Index d = 0; d < head.dim; ++d) dot += at(dout, n, i, head.q + d) * at(out, n, i, head.q + d);
        for (Index j = 0; j < tokens; ++j) {
          const double p = std::exp(score(qkv, head, n, i, j) - at(log_sum_exp, n, h, i));
          double dp = 0;
          for (Index d = 0; d < head.dim; ++d) dp += at(dout, n, i, head.q + d) * at(qkv, n, j, head.v + d);
          const double dscore = p * (dp - dot) * scale;
          for (Index d = 0; d < head.dim; ++d) {
            at(dqkv, n, i, head.q + d) += dscore * at(qkv, n, j, head.k + d);
            at(dqkv, n, j, head.k + d) += dscore * at(qkv, n, i, head.q + d);
            at(dqkv, n, j, head.v + d) += p * at(dout, n, i, head.q + d);
          }
        }
      }
    }
  }
}

}  // namespace blocktrain::kernels
