#include "trainer/tasks/images/frechet.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "kernels/error.hpp"
#include "trainer/tasks/images/lapack.hpp"

namespace blocktrain::trainer {
namespace {

using Matrix = std::vector<double>;

/// Eigenvalues in ascending order; `a` [n, n] becomes the eigenvectors, one after the other, where they are wanted.
std::vector<double> eigenvalues(Matrix& a, int n, bool vectors) {
  for (const double x : a) {
    if (!std::isfinite(x))
      throw RunError("Frechet distance: a covariance is not finite; were images generated that are not?");
  }
  std::vector<double> values(static_cast<std::size_t>(n));
  const char job = vectors ? 'V' : 'N', uplo = 'L';
  int info = 0, length = -1;
  double best = 0;
  lapack().dsyev(&job, &uplo, &n, a.data(), &n, values.data(), &best, &length, &info);
  length = std::max(static_cast<int>(best), 3 * n);
  std::vector<double> work(static_cast<std::size_t>(length));
  if (info == 0) lapack().dsyev(&job, &uplo, &n, a.data(), &n, values.data(), work.data(), &length, &info);
  if (info != 0) throw RunError("Frechet distance: LAPACK's dsyev ended with info " + std::to_string(info));
  return values;
}

Matrix product(const Matrix& a, const Matrix& b, int n) {
  Matrix c(a.size());
  const char no = 'N';
  const double one = 1, zero = 0;
  lapack().dgemm(&no, &no, &n, &n, &n, &one, a.data(), &n, b.data(), &n, &zero, c.data(), &n);
  return c;
}

/// The symmetric square root of a covariance; eigenvalues that rounding has made negative count as 0.
Matrix square_root(Matrix covariance, int n) {
  const std::vector<double> values = eigenvalues(covariance, n, true);
  // V diag(sqrt(sqrt(values))) times its own transpose.
  for (int j = 0; j < n; ++j) {
    const double factor = std::pow(std::max(values[static_cast<std::size_t>(j)], 0.0), 0.25);
    for (int i = 0; i < n; ++i) covariance[static_cast<std::size_t>(j) * n + i] *= factor;
  }
  Matrix root(covariance.size());
  const char no = 'N', yes = 'T';
  const double one = 1, zero = 0;
  lapack().dgemm(&no, &yes, &n, &n, &n, &one, covariance.data(), &n, covariance.data(), &n, &zero, root.data(), &n);
  return root;
}

double trace(const Matrix& m, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += m[static_cast<std::size_t>(i) * (n + 1)];
  return sum;
}

}  // namespace

Moments moments(std::span<const float> values, std::int64_t dimensions) {
  BLOCKTRAIN_EXPECTS(dimensions >= 1 && dimensions <= std::numeric_limits<int>::max() / dimensions);
  Moments m;
  m.dimensions = dimensions;
  m.count = static_cast<std::int64_t>(values.size()) / dimensions;
  BLOCKTRAIN_EXPECTS(m.count >= 2 && m.count * dimensions == static_cast<std::int64_t>(values.size()));
  m.mean.assign(static_cast<std::size_t>(dimensions), 0);
  for (std::int64_t i = 0; i < m.count; ++i) {
    for (std::int64_t j = 0; j < dimensions; ++j) m.mean[j] += values[i * dimensions + j];
  }
  for (double& x : m.mean) x /= static_cast<double>(m.count);

  m.covariance.assign(static_cast<std::size_t>(dimensions * dimensions), 0);
  const int n = static_cast<int>(dimensions);
  const double one = 1;
  std::vector<double> centred;
  constexpr std::int64_t rows_at_once = 256;
  for (std::int64_t begin = 0; begin < m.count; begin += rows_at_once) {
    const int rows = static_cast<int>(std::min(rows_at_once, m.count - begin));
    centred.resize(static_cast<std::size_t>(rows) * n);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < n; ++j) {
        centred[static_cast<std::size_t>(i) * n + j] =
            values[(begin + i) * dimensions + j] - m.mean[static_cast<std::size_t>(j)];
      }
    }
    const char lower = 'L', no = 'N';
    lapack().dsyrk(&lower, &no, &n, &rows, &one, centred.data(), &n, &one, m.covariance.data(), &n);
  }
  for (int j = 0; j < n; ++j) {
    for (int i = j; i < n; ++i) {
      const double x = m.covariance[static_cast<std::size_t>(j) * n + i] / static_cast<double>(m.count - 1);
      m.covariance[static_cast<std::size_t>(j) * n + i] = m.covariance[static_cast<std::size_t>(i) * n + j] = x;
    }
  }
  return m;
}

FrechetReference::FrechetReference(Moments fixed) : fixed_(std::move(fixed)) {
  root_ = square_root(fixed_.covariance, static_cast<int>(fixed_.dimensions));
}

double FrechetReference::distance(const Moments& other) const {
  BLOCKTRAIN_EXPECTS(other.dimensions == fixed_.dimensions);
  const int n = static_cast<int>(fixed_.dimensions);
  // tr((S1 S2)^(1/2)) by the eigenvalues of the symmetric S1^(1/2) S2 S1^(1/2), which are those of S1 S2.
  Matrix both = product(product(root_, other.covariance, n), root_, n);
  double cross = 0;
  for (const double value : eigenvalues(both, n, false)) cross += std::sqrt(std::max(value, 0.0));
  double shift = 0;
  for (std::size_t j = 0; j < fixed_.mean.size(); ++j) {
    shift += (fixed_.mean[j] - other.mean[j]) * (fixed_.mean[j] - other.mean[j]);
  }
  return std::max(0.0, shift + trace(fixed_.covariance, n) + trace(other.covariance, n) - 2 * cross);
}

}  // namespace blocktrain::trainer
