#include "kernels/reference/reference_ops.hpp"

namespace blocktrain::kernels {

std::unique_ptr<Ops> make_reference_ops() { return std::make_unique<ReferenceOps>(); }

}  // namespace blocktrain::kernels
