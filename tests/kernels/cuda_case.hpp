#pragma once
/// The CUDA ops for the op tests, where this build has them and a GPU is there. Operands lie in managed memory, which
/// host and device both reach, and launches wait, so that a test may look at a result right behind the call.

#include <cstddef>
#include <memory>

#include "kernels/ops.hpp"

namespace blocktrain::kernels::testing {

/// Null without a GPU or in a build without CUDA; the first such call says why in the test's log.
std::unique_ptr<Ops> cuda_ops(DType dtype);

void* take_managed(std::size_t bytes);
void give_managed(void* memory);

}  // namespace blocktrain::kernels::testing
