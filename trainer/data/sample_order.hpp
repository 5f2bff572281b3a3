#pragma once
/// The order in which samples are visited: for every epoch a permutation, computed index by index.

#include <cstdint>

namespace blocktrain::trainer {

/// A keyed permutation of [0, count) for every epoch, without an index array: a Feistel network over Z_a x Z_b,
/// a = ceil(sqrt(count)), b = ceil(count / a), with cycle walking for the few values beyond count (Black & Rogaway
/// 2002, "Ciphers with Arbitrary Finite Domains"). Its round functions are random_words of Purpose::shuffle, keyed by
/// the seed alone, so every block and every rank sees the same order, and it goes on from any position.
class SampleOrder {
 public:
  struct Visit {
    std::int64_t index = 0;
    std::uint64_t pass = 0;  ///< how often all samples were visited before: the epoch
  };

  /// count in [1, 2^31).
  SampleOrder(std::uint64_t seed, std::int64_t count);

  /// What is visited at `position` = step * batch + place in the batch. Positions [e*count, (e+1)*count) are pass e and
  /// visit each sample exactly once.
  Visit at(std::uint64_t position) const;
  std::int64_t index(std::uint64_t position) const { return at(position).index; }
  /// Where in a pass a sample is visited, in [0, count): the inverse of at().
  std::int64_t place(std::uint64_t pass, std::int64_t index) const;

  std::uint64_t seed() const { return seed_; }
  std::int64_t count() const { return static_cast<std::int64_t>(count_); }

 private:
  std::uint64_t permute(std::uint64_t epoch, std::uint64_t value) const;
  std::uint64_t permute_back(std::uint64_t epoch, std::uint64_t value) const;

  std::uint64_t seed_ = 0;
  std::uint64_t count_ = 1;
  std::uint32_t a_ = 1, b_ = 1;
};

}  // namespace blocktrain::trainer
