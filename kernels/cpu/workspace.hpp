#pragma once
/// Scratch memory of the CPU ops, taken once at creation: a piece for every thread and one shared by all.

#include <cstddef>

#include "kernels/arena.hpp"

namespace blocktrain::kernels {

class Workspace {
 public:
  /// Floats of each thread's piece: one head in attention's backward pass, 5800 tokens at a head width of 64; longer
  /// ones are cut. Pages that no shape needs are never touched.
  static constexpr std::size_t thread_floats = std::size_t{1} << 22;
  /// Floats of the shared piece: partial sums of a weight gradient.
  static constexpr std::size_t shared_floats = std::size_t{1} << 21;

  explicit Workspace(int threads);

  /// Scratch of `thread`, for the length of one piece of work.
  float* thread(int thread) const {
    return shared() + shared_floats + static_cast<std::size_t>(thread) * thread_floats;
  }
  /// Scratch of the op as a whole.
  float* shared() const { return reinterpret_cast<float*>(memory_.data()); }

 private:
  Arena memory_;
};

}  // namespace blocktrain::kernels
