#pragma once
/// Enums and parameters of the operations (ops.hpp).

#include <cstdint>
#include <span>

#include "kernels/names.hpp"

namespace blocktrain::kernels {

enum class LossWeighting : std::uint8_t {
  edm,   ///< w(s) = (s^2 + sd^2) / (s*sd)^2 (method: section 1, weight)
  none,  ///< w(s) = 1
};
constexpr auto name_table(LossWeighting) { return names_up_to<LossWeighting::none>("edm", "none"); }

/// What becomes of what the gradient of a parameter holds already.
enum class GradientWrite : std::uint8_t {
  add,      ///< the new one is added to it
  replace,  ///< the new one takes its place, which may hold anything
};

/// Numbers that follow from a noise level (method: section 1, preconditioning; section 6, analytic evidence).
enum class LevelFactor : std::uint8_t {
  input,     ///< c_in = 1 / sqrt(s^2 + sd^2)
  skip,      ///< c_skip = sd^2 / (s^2 + sd^2)
  output,    ///< c_out = s sd / sqrt(s^2 + sd^2)
  evidence,  ///< 1 / s^2
};

/// Stands for no row of a table and no class, unless another number is given.
inline constexpr std::int32_t ignored_index = -1;

/// Throws InputError, naming the first index of `indices` that is neither `ignored` nor in [0, rows) and its place.
/// For what comes from files: an op's own check says that there is a bug, and a GPU cannot look.
void check_indices(std::span<const std::int32_t> indices, std::int64_t rows, std::int32_t ignored = ignored_index);

/// Elements [begin, end) of a flat tensor.
struct ElementRange {
  std::int64_t begin = 0, end = 0;
  bool operator==(const ElementRange&) const = default;
};

struct AdamWParameters {
  // Double, so that 1 - beta is rounded once: of 0.999f only 0.00099999 is left.
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;  ///< decoupled: p -= lr * weight_decay * p
  /// Where the weights do not decay: ascending, not empty, apart from each other. Not owned.
  std::span<const ElementRange> undecayed;
};

}  // namespace blocktrain::kernels
