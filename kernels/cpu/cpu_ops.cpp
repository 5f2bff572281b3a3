#include "kernels/cpu/cpu_ops.hpp"

#include <cblas.h>

namespace blocktrain::kernels {

Workspace::Workspace(int threads)
    : memory_(Arena::host("workspace of the CPU ops",
                          (shared_floats + static_cast<std::size_t>(threads) * thread_floats) * sizeof(float))) {}

CpuOps::CpuOps(int threads) : threads_(threads), workspace_(threads) {
  BLOCKTRAIN_EXPECTS(threads >= 1);
  // Products are cut into pieces here (gemm.hpp); the library's own threads would only compete with ours.
  openblas_set_num_threads(1);
}

std::unique_ptr<Ops> make_cpu_ops(int threads) { return std::make_unique<CpuOps>(threads); }

}  // namespace blocktrain::kernels
