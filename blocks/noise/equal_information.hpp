#pragma once
/// How much a noisy class embedding tells of its class, and the partition in which every block has the same share of
/// that to do (method: section 6, equal information partition). With equal probability half of the blocks of a
/// categorical target read their answer off z, for once sigma is below about a quarter the nearest row already is the
/// class.

#include <cstdint>
#include <span>
#include <vector>

namespace blocktrain::blocks {

/// A table of class embeddings, row after row, of which the directions alone count, and how often each class comes up.
struct ClassTable {
  std::span<const float> rows;          ///< [classes * width]
  std::int64_t classes = 0, width = 0;  ///< at least 2 classes
  /// Relative frequencies, above or equal to 0, at least two above; empty: all classes alike.
  std::span<const double> frequencies;
};

/// What noise hides of a class, as a function of sigma that grows with it, in nats: on a grid, straight lines between.
struct InformationCurve {
  /// Of entropies, at least two of them, at equal steps of ln sigma.
  InformationCurve(std::vector<double> entropies, double sigma_min, double sigma_max);

  std::vector<double> log_sigma;  ///< ascending, equally spaced
  std::vector<double> entropy;    ///< ascending with it

  /// Sigma at which the entropy is this; linear in log sigma between grid points, clamped to the ends.
  double sigma_at(double nats) const;
  /// The entropy at this sigma, likewise.
  double entropy_at(double sigma) const;
};

/// H(y | z) for z = E_y + sigma * eps without any x: the mean over draws of y and eps, keyed by `seed`, of the entropy
/// of softmax_v(z.E_v / sigma^2 + log pi_v), made monotone. 129 levels from sigma_min to sigma_max; the same draws at
/// all of them. Costs draws * classes exponentials a level: as many draws as 2^22 / classes, from 64 to 4096.
InformationCurve information_curve(const ClassTable& table, double sigma_min, double sigma_max, std::uint64_t seed);

}  // namespace blocktrain::blocks
