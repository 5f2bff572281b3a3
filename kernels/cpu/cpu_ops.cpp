#include "kernels/cpu/cpu_ops.hpp"

namespace blocktrain::kernels {

Workspace::Workspace(int threads)
    : memory_((BLOCKTRAIN_EXPECTS(threads >= 1),
               Arena::host("workspace of the CPU ops",
                           (shared_floats + static_cast<std::size_t>(threads) * thread_floats) * sizeof(float)))) {}

CpuOps::CpuOps(int threads) : threads_(threads), workspace_(threads) {}

std::unique_ptr<Ops> make_cpu_ops(int threads) { return std::make_unique<CpuOps>(threads); }

}  // namespace blocktrain::kernels
