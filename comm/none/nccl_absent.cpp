// NCCL in a build without CUDA or without NCCL's header: the same function, and a clear answer.

#include "comm/nccl/nccl_library.hpp"

namespace blocktrain::comm {

NcclLibrary open_nccl_library(std::span<const std::string>) { return {nullptr, "", BLOCKTRAIN_NCCL_WHY_NOT}; }

const NcclLibrary& nccl_library() {
  static const NcclLibrary* const library = new NcclLibrary(open_nccl_library({}));
  return *library;
}

}  // namespace blocktrain::comm
