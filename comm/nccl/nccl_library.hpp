#pragma once
/// The NCCL library of this machine. It is opened at run time, so that a build with CUDA starts where NCCL is missing
/// and says so; a build without CUDA or without NCCL's header has the same function.

#include <memory>
#include <span>
#include <string>

#include "comm/nccl/nccl_api.hpp"

namespace blocktrain::comm {

struct NcclLibrary {
  std::shared_ptr<const NcclApi> api;  ///< null where NCCL cannot be used
  std::string version;                 ///< "2.28.9"; empty where api is null
  std::string why_not;                 ///< the reason where api is null, for people
};

/// Opens the first of the libraries `names` that the loader finds.
NcclLibrary open_nccl_library(std::span<const std::string> names);

/// Opens libnccl.so.2 (once; later calls return the first one's answer). Sets NCCL_NVLS_ENABLE=0 unless the environment
/// says otherwise: sums made inside NVSwitch change their bits from call to call (NVIDIA/nccl issue 1497). Call it
/// before other threads use the environment, MpiWorld::start's among them.
const NcclLibrary& nccl_library();

}  // namespace blocktrain::comm
