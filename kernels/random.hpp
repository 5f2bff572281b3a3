#pragma once
/// Counter-based random numbers (Philox4x32-10, Salmon et al. 2011, through Random123): a pure function of
/// (seed, purpose, block, step, sample, element). There is no generator state, so numbers do not depend on
/// which rank, thread or device asks, or on what was asked before.

#include <Random123/philox.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

/// Compiled for the device as well where a CUDA compiler reads this.
#ifdef __CUDACC__
#define BLOCKTRAIN_HOST_DEVICE __host__ __device__
#else
#define BLOCKTRAIN_HOST_DEVICE
#endif

namespace blocktrain::kernels {

/// What numbers are for. Values are part of the file-independent contract: never renumber.
enum class Purpose : std::uint8_t {
  initialization = 1,
  sigma = 2,
  noise = 3,
  label_dropout = 4,
  shuffle = 5,
  flip = 6,
  sampling = 7,     ///< initial noise of generated samples
  ancestral = 8,    ///< noise added between sampling steps
  evaluation = 9,   ///< noise of held-out losses
  classifier = 10,  ///< everything random in the evaluation's classifier
  test = 11,
  heldout_sigma = 12,  ///< noise levels of held-out losses
  augmentation = 13,   ///< crops and changes of training images
  partition = 14,      ///< draws by which a partition is computed
  dropout = 15,        ///< masks of a network's dropout; block: 4 * layer + place in it
  windows = 16,  ///< where the windows of a text begin in each pass; step, block: of the pass, sample: of a document
};

/// The part of the coordinates that is fixed for a stream of numbers.
struct RandomKey {
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::test;
  std::uint32_t block = 0;  ///< below 2^24
};

/// Four uniform 32-bit words: element group `group` (elements 4*group .. 4*group+3) of `sample` at `step`.
/// Layout, shared by every device: key = (seed low, seed high); counter = (group, sample, step, purpose<<24 | block).
BLOCKTRAIN_HOST_DEVICE inline r123::Philox4x32::ctr_type random_words(const RandomKey& key, std::uint32_t step,
                                                                      std::uint32_t sample, std::uint32_t group) {
  const r123::Philox4x32::key_type k{
      {static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)}};
  const r123::Philox4x32::ctr_type c{
      {group, sample, step, (static_cast<std::uint32_t>(key.purpose) << 24) | (key.block & 0xffffffu)}};
  return r123::Philox4x32{}(c, k);
}

/// A word as a uniform number in the open interval (0, 1); exact in double.
BLOCKTRAIN_HOST_DEVICE inline double uniform_open(std::uint32_t word) {
  return (static_cast<double>(word) + 0.5) * 0x1p-32;
}

/// Normal number `lane`, 0 to 3, of a group's words, as Ops::random_normal pairs them, in double.
inline double normal_number(const r123::Philox4x32::ctr_type& words, std::size_t lane) {
  const std::size_t pair = lane / 2 * 2;
  const double radius = std::sqrt(-2 * std::log(uniform_open(words[pair])));
  const double angle = 2 * std::numbers::pi * uniform_open(words[pair + 1]);
  return radius * (lane % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

}  // namespace blocktrain::kernels
