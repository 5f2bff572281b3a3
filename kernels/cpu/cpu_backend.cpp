#include "kernels/cpu/cpu_backend.hpp"

#include "kernels/cpu/cpu_facts.hpp"
#include "kernels/cpu/team.hpp"
#include "kernels/ops.hpp"

namespace blocktrain::kernels {

Workspace::Workspace(int threads)
    : memory_((BLOCKTRAIN_EXPECTS(threads >= 1), Arena::host("workspace of the CPU ops", cpu_scratch_bytes(threads)))) {
}

CpuBackend::CpuBackend(int threads) : threads_(threads), workspace_(threads) { prepare_team(threads); }

std::unique_ptr<Backend> make_cpu_backend(int threads) { return std::make_unique<CpuBackend>(threads); }

std::unique_ptr<Ops> make_cpu_ops(int threads) { return std::make_unique<Ops>(make_cpu_backend(threads)); }

}  // namespace blocktrain::kernels
