#pragma once
/// Scratch memory of the CUDA ops, taken once at creation: for partial sums of our kernels, and for cuBLASLt; and a
/// little apart from it, for what cuBLASLt writes besides a product. Ops run one after the other on one stream, so each
/// may use all of it.

#include <cstddef>

#include "kernels/cuda/check.hpp"
#include "kernels/gpu_scratch.hpp"

namespace blocktrain::kernels::cuda {

class Workspace {
 public:
  explicit Workspace(std::size_t bytes = shared_scratch_bytes) : bytes_(bytes) {
    BLOCKTRAIN_CUDA(cudaMalloc(&memory_, bytes + most_column_sums * sizeof(float)));
  }
  ~Workspace() { cudaFree(memory_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  float* data() const { return static_cast<float*>(memory_); }
  std::size_t bytes() const { return bytes_; }
  std::size_t floats() const { return bytes_ / sizeof(float); }
  /// most_column_sums numbers behind the rest, not of data().
  float* sums() const { return data() + floats(); }

 private:
  std::size_t bytes_;
  void* memory_ = nullptr;
};

}  // namespace blocktrain::kernels::cuda
