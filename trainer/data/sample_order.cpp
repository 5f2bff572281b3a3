#include "trainer/data/sample_order.hpp"

#include <cmath>

#include "kernels/error.hpp"
#include "kernels/random.hpp"

namespace blocktrain::trainer {
namespace {

/// Each half is changed half as often. With round functions that are themselves random, few rounds mix large sets; the
/// small ones (a handful of samples) need this many to make every order equally likely.
constexpr std::uint32_t rounds = 12;

/// A number in [0, range), a pure function of all arguments.
std::uint32_t round_value(std::uint64_t seed, std::uint64_t epoch, std::uint32_t round, std::uint32_t half,
                          std::uint32_t range) {
  // The epoch's high bits share the block's 24 bits with the round number, so epochs never repeat in practice.
  const auto block = static_cast<std::uint32_t>((epoch >> 32) << 8 | round);
  const auto words =
      kernels::random_words({seed, kernels::Purpose::shuffle, block}, static_cast<std::uint32_t>(epoch), half, 0);
  return static_cast<std::uint32_t>((std::uint64_t{words[0]} * range) >> 32);
}

}  // namespace

SampleOrder::SampleOrder(std::uint64_t seed, std::int64_t count)
    : seed_(seed), count_(static_cast<std::uint64_t>(count)) {
  BLOCKTRAIN_EXPECTS(count >= 1 && count <= 0x7fffffff);
  a_ = static_cast<std::uint32_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  b_ = static_cast<std::uint32_t>((count_ + a_ - 1) / a_);
}

std::uint64_t SampleOrder::permute(std::uint64_t epoch, std::uint64_t value) const {
  auto left = static_cast<std::uint32_t>(value % a_);
  auto right = static_cast<std::uint32_t>(value / a_);
  for (std::uint32_t round = 0; round < rounds; round += 2) {
    left = (left + round_value(seed_, epoch, round, right, a_)) % a_;
    right = (right + round_value(seed_, epoch, round + 1, left, b_)) % b_;
  }
  return std::uint64_t{right} * a_ + left;
}

std::uint64_t SampleOrder::permute_back(std::uint64_t epoch, std::uint64_t value) const {
  auto left = static_cast<std::uint32_t>(value % a_);
  auto right = static_cast<std::uint32_t>(value / a_);
  for (std::uint32_t round = rounds; round > 0; round -= 2) {
    right = (right + b_ - round_value(seed_, epoch, round - 1, left, b_)) % b_;
    left = (left + a_ - round_value(seed_, epoch, round - 2, right, a_)) % a_;
  }
  return std::uint64_t{right} * a_ + left;
}

SampleOrder::Visit SampleOrder::at(std::uint64_t position) const {
  const std::uint64_t pass = position / count_;
  std::uint64_t value = position % count_;
  do {
    value = permute(pass, value);
  } while (value >= count_);
  return {static_cast<std::int64_t>(value), pass};
}

std::int64_t SampleOrder::place(std::uint64_t pass, std::int64_t index) const {
  BLOCKTRAIN_EXPECTS(index >= 0 && index < count());
  auto value = static_cast<std::uint64_t>(index);
  do {
    value = permute_back(pass, value);
  } while (value >= count_);
  return static_cast<std::int64_t>(value);
}

}  // namespace blocktrain::trainer
