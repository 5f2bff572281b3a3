#pragma once
/// A GPU for tests on machines that have none. The kernels' sources are compiled as C++ (cuda_words.hpp), their threads
/// run as fibers (thread_block.hpp), and the parts of the CUDA runtime and cuBLASLt that blocktrain calls stand here
/// with their real signatures. Work is put off as long as CUDA's rules allow, and the host cannot reach device memory.
/// It shows mistakes of ours: in indices, barriers, order, memory and numerics. It shows nothing of what the real
/// libraries, compilers and chips do.

#include <cstddef>
#include <cstdint>

namespace emulated_gpu {

struct Settings {
  int devices = 1;
  std::size_t memory_bytes = std::size_t{2} << 30;
  /// Streams run when somebody waits for them. Otherwise each piece of work runs when it is asked for, as under
  /// CUDA_LAUNCH_BLOCKING.
  bool late = true;
  bool products = true;   ///< cuBLASLt has algorithms
  bool gelu_ends = true;  ///< also for products that end in a GELU
  bool sum_ends = true;   ///< and for those that leave the sums of an operand
  /// Memory of the GPU that nobody asked for: of the context, there from the beginning; of cuBLASLt's kernels, from the
  /// first product of a handle to the end of all handles; of every graph that can be launched.
  std::size_t context_bytes = 0, library_bytes = 0, graph_bytes = 0;
};
/// To be changed while no work is under way.
Settings& settings();

/// What was done since the program began.
struct Counts {
  std::uint64_t kernels = 0, graph_launches = 0, products = 0, fused_ends = 0;
};
Counts counts();

}  // namespace emulated_gpu
