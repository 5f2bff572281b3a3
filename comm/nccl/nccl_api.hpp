#pragma once
/// What comm/nccl needs of NCCL, as a table of functions with plain types: the logic around it compiles and is tested
/// without NCCL, and tests put in calls that hang or fail. comm/nccl/nccl_library.hpp fills it from the library.

#include <array>
#include <cstddef>
#include <functional>
#include <string>

namespace blocktrain::comm {

/// Codes of NcclApi's functions; other values are errors. The numbers are NCCL's.
inline constexpr int nccl_success = 0;
inline constexpr int nccl_in_progress = 7;

/// Names one communicator to be; made by one rank and handed to all.
using NcclUniqueId = std::array<std::byte, 128>;

/// Every function returns a code. Communicators and streams are opaque pointers.
struct NcclApi {
  std::function<int(NcclUniqueId& id)> get_unique_id;
  /// With config.blocking = 0: this call, and all those on the communicator, may return nccl_in_progress, and
  /// comm_get_async_error then tells when they have ended.
  /// Gives the communicator at once, and may write (the same) to `communicator` until creation has ended or was
  /// aborted.
  std::function<int(void** communicator, int ranks, const NcclUniqueId& id, int rank)> comm_init_rank_config;
  std::function<int(void* communicator, int* state)> comm_get_async_error;
  std::function<int(void* communicator)> comm_finalize;
  std::function<int(void* communicator)> comm_destroy;
  std::function<int(void* communicator)> comm_abort;
  /// Sum of float32.
  std::function<int(const void* send, void* receive, std::size_t count, void* communicator, void* stream)> all_reduce;
  std::function<int(const void* send, void* receive, std::size_t bytes, int root, void* communicator, void* stream)>
      broadcast;
  std::function<int(const void* data, std::size_t bytes, int peer, void* communicator, void* stream)> send;
  std::function<int(void* data, std::size_t bytes, int peer, void* communicator, void* stream)> receive;
  std::function<int()> group_start;
  std::function<int()> group_end;
  std::function<std::string(int code)> get_error_string;
  /// The library's last error in words; empty if there was none. `communicator` may be null.
  std::function<std::string(void* communicator)> get_last_error;
  std::function<int(int* version)> get_version;
};

}  // namespace blocktrain::comm
