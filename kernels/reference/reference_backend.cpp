#include "kernels/reference/reference_backend.hpp"

#include "kernels/ops.hpp"

namespace blocktrain::kernels {

std::unique_ptr<Ops> make_reference_ops() { return std::make_unique<Ops>(std::make_unique<ReferenceBackend>()); }

}  // namespace blocktrain::kernels
