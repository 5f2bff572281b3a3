#pragma once
/// The threads of a kernel on one thread of the host: each is a fiber, which runs until it waits for its warp or its
/// block. The order in which they run changes from block to block, so that a missing barrier shows.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>

namespace emulated_gpu {

/// Where a thread of a kernel stands.
struct Place {
  uint3 thread, block;
  dim3 block_size, grid;
};
/// Of the thread of a kernel that runs now.
inline thread_local constinit Place* here = nullptr;

struct Shape {
  dim3 grid;
  unsigned threads = 1;  ///< of a block
  std::size_t shared_bytes = 0;
};

/// Runs `body` once for each thread of the grid. A kernel that waits where not all of its threads come, or shuffles
/// where not all lanes do, ends the program with a message.
void run_grid(const Shape& shape, const std::function<void()>& body);

/// The block's memory of Shape::shared_bytes, not a number (NaN) at its start.
void* dynamic_shared_memory();

/// __syncthreads()
void wait_for_block();

/// bar.sync barrier, threads
void wait_for_some(int barrier, int threads);

constexpr std::size_t widest_shuffle = 8;
/// What lane (own lane xor lane_mask) gave; valid until the next but one shuffle.
const void* shuffle(unsigned mask, const void* value, std::size_t bytes, int lane_mask);

}  // namespace emulated_gpu
