#pragma once
/// Frechet distance between two sets of vectors, each taken for a normal distribution of its mean and covariance
/// (Dowson & Landau 1982; of images and their features: Heusel et al. 2017):
///   d^2 = |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)).
/// What is called the distance here and there is d^2. Double throughout. It is biased: upwards the fewer the vectors,
/// so only distances of equal counts compare; below as many vectors as dimensions the covariance is not even of full
/// rank.

#include <cstdint>
#include <span>
#include <vector>

namespace blocktrain::trainer {

/// Mean and covariance (divided by count - 1) of a set of vectors.
struct Moments {
  std::int64_t count = 0, dimensions = 0;
  std::vector<double> mean;        ///< [dimensions]
  std::vector<double> covariance;  ///< [dimensions, dimensions], symmetric
};

/// Of values [count, dimensions]; count at least 2.
Moments moments(std::span<const float> values, std::int64_t dimensions);

/// The distance to one fixed set, whose covariance is taken apart once.
class FrechetReference {
 public:
  explicit FrechetReference(Moments fixed);
  /// d^2 to `other`, of the same dimensions; at least 0. Throws RunError when a covariance is not finite.
  double distance(const Moments& other) const;
  const Moments& fixed() const { return fixed_; }

 private:
  Moments fixed_;
  std::vector<double> root_;  ///< S1^(1/2)
};

}  // namespace blocktrain::trainer
