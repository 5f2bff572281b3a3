#include "kernels/cpu/cpu_ops.hpp"

#include "kernels/cpu/cpu_facts.hpp"
#include "kernels/cpu/team.hpp"

namespace blocktrain::kernels {

Workspace::Workspace(int threads)
    : memory_((BLOCKTRAIN_EXPECTS(threads >= 1), Arena::host("workspace of the CPU ops", cpu_scratch_bytes(threads)))) {
}

CpuOps::CpuOps(int threads) : threads_(threads), workspace_(threads) { prepare_team(threads); }

std::unique_ptr<Ops> make_cpu_ops(int threads) { return std::make_unique<CpuOps>(threads); }

}  // namespace blocktrain::kernels
