#pragma once
/// The CUDA ops for the op tests, where this build has them and a GPU is there. Operands lie in memory of their own
/// that the GPU alone reaches, so that compute-sanitizer sees where each ends; launches wait, so that a test may look
/// at a result right behind the call.

#include <cstddef>
#include <memory>

#include "kernels/ops.hpp"

namespace blocktrain::kernels::testing {

/// Null without a GPU or in a build without CUDA; the first such call says why in the test's log.
std::unique_ptr<Ops> cuda_ops(DType dtype);

void* take_device(std::size_t bytes);
void give_device(void* memory);
/// Host memory that the GPU reaches as well.
void* take_pinned(std::size_t bytes);
void give_pinned(void* memory);
/// Between host and device memory, behind everything that the GPU was asked for.
void device_copy(void* to, const void* from, std::size_t bytes);

}  // namespace blocktrain::kernels::testing
