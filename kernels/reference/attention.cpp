#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/index.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace blocktrain::kernels {
using namespace reference;
namespace {

constexpr double nothing = -std::numeric_limits<double>::infinity();

/// The numbers of one head of one token.
double* head_of(const Tensor& t, Index samples, Index n, Index token, Index head, Index width) {
  const TokenStrides strides = token_strides(t, samples);
  return t.as<double>() + n * strides.sample + token * strides.token + head * width;
}

double dot(const double* a, const double* b, Index width) {
  double sum = 0;
  for (Index d = 0; d < width; ++d) sum += a[d] * b[d];
  return sum;
}

}  // namespace

void ReferenceBackend::attention_forward(const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
                                         const Tensor& v, const AttentionForm& form) {
  const AttentionSizes s(log_sum_exp, q, k, form);
  const Index width = s.head_width;
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  for (Index n = 0; n < s.samples; ++n) {
    for (Index h = 0; h < s.heads; ++h) {
      const Index group = h / (s.heads / s.kv_heads);
      for (Index i = 0; i < s.queries; ++i) {
        const TokenRange seen = form.mask.keys_of(i, s.keys);
        const double* query = head_of(q, s.samples, n, i, h, width);
        const auto score = [&](Index j) {
          return scale * dot(query, head_of(k, s.samples, n, j, group, width), width);
        };
        double largest = nothing, sum = 0;
        for (Index j = seen.begin; j < seen.end; ++j) largest = std::max(largest, score(j));
        for (Index j = seen.begin; j < seen.end; ++j) sum += std::exp(score(j) - largest);
        const double log_sum = seen.begin == seen.end ? nothing : largest + std::log(sum);
        at(log_sum_exp, n, h, i) = log_sum;
        double* const result = head_of(out, s.samples, n, i, h, width);
        std::fill(result, result + width, 0.0);
        for (Index j = seen.begin; j < seen.end; ++j) {
          const double p = std::exp(score(j) - log_sum);
          for (Index d = 0; d < width; ++d) result[d] += p * head_of(v, s.samples, n, j, group, width)[d];
        }
      }
    }
  }
}

void ReferenceBackend::attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& dout,
                                          const Tensor& out, const Tensor& log_sum_exp, const Tensor& q,
                                          const Tensor& k, const Tensor& v, const AttentionForm& form,
                                          GradientWrite write_dq, GradientWrite write_dkv) {
  const AttentionSizes s(log_sum_exp, q, k, form);
  const Index width = s.head_width;
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  const auto clear = [&](const Tensor& t, Index tokens, Index heads) {
    for (Index n = 0; n < s.samples; ++n) {
      for (Index i = 0; i < tokens; ++i) std::fill_n(head_of(t, s.samples, n, i, 0, width), heads * width, 0.0);
    }
  };
  if (write_dq == GradientWrite::replace) clear(dq, s.queries, s.heads);
  if (write_dkv == GradientWrite::replace) clear(dk, s.keys, s.kv_heads), clear(dv, s.keys, s.kv_heads);
  for (Index n = 0; n < s.samples; ++n) {
    for (Index h = 0; h < s.heads; ++h) {
      const Index group = h / (s.heads / s.kv_heads);
      for (Index i = 0; i < s.queries; ++i) {
        const TokenRange seen = form.mask.keys_of(i, s.keys);
        const double *query = head_of(q, s.samples, n, i, h, width),
                     *cotangent = head_of(dout, s.samples, n, i, h, width);
        // The gradient of softmax needs sum_j p_ij dp_ij over all keys, also those of other parts: dout_i . out_i.
        const double row = dot(cotangent, head_of(out, s.samples, n, i, h, width), width);
        for (Index j = seen.begin; j < seen.end; ++j) {
          const double *key = head_of(k, s.samples, n, j, group, width),
                       *value = head_of(v, s.samples, n, j, group, width);
          const double p = std::exp(scale * dot(query, key, width) - at(log_sum_exp, n, h, i));
          const double dscore = p * (dot(cotangent, value, width) - row) * scale;
          for (Index d = 0; d < width; ++d) {
            head_of(dq, s.samples, n, i, h, width)[d] += dscore * key[d];
            head_of(dk, s.samples, n, j, group, width)[d] += dscore * query[d];
            head_of(dv, s.samples, n, j, group, width)[d] += p * cotangent[d];
          }
        }
      }
    }
  }
}

void ReferenceBackend::attention_merge(const Tensor& out, const Tensor& log_sum_exp, const Tensor& out_a,
                                       const Tensor& sums_a, const Tensor& out_b, const Tensor& sums_b) {
  const Index samples = log_sum_exp.shape[0], heads = log_sum_exp.shape[1], width = token_width(out) / heads;
  for (Index n = 0; n < samples; ++n) {
    for (Index h = 0; h < heads; ++h) {
      for (Index i = 0; i < log_sum_exp.shape[2]; ++i) {
        const double a = at(sums_a, n, h, i), b = at(sums_b, n, h, i), largest = std::max(a, b);
        const double sum =
            largest == nothing ? nothing : largest + std::log(std::exp(a - largest) + std::exp(b - largest));
        const double share_a = sum == nothing ? 0 : std::exp(a - sum), share_b = sum == nothing ? 0 : std::exp(b - sum);
        for (Index d = 0; d < width; ++d) {
          head_of(out, samples, n, i, h, width)[d] = share_a * head_of(out_a, samples, n, i, h, width)[d] +
                                                     share_b * head_of(out_b, samples, n, i, h, width)[d];
        }
        at(log_sum_exp, n, h, i) = sum;
      }
    }
  }
}

}  // namespace blocktrain::kernels
