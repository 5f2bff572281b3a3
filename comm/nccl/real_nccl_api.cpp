// NCCL's table, filled from the library at run time. The header gives the types alone: nothing of it is linked.

#include <dlfcn.h>
#include <nccl.h>

#include <cstdlib>
#include <cstring>

#include "comm/nccl/nccl_library.hpp"

namespace blocktrain::comm {
namespace {

static_assert(nccl_success == ncclSuccess && nccl_in_progress == ncclInProgress);
static_assert(sizeof(ncclUniqueId) == std::tuple_size_v<NcclUniqueId>);

// The first with non-blocking communicators and ncclCommFinalize.
constexpr int oldest_version = NCCL_VERSION(2, 14, 0);

/// The function `name` of the library, or null with the reason in `why_not`.
template <class Function>
Function* find(void* library, const char* name, std::string& why_not) {
  void* const found = dlsym(library, name);
  if (found == nullptr) why_not = std::string("the NCCL library has no ") + name;
  return reinterpret_cast<Function*>(found);
}

void* open(std::span<const std::string> names, std::string& why_not) {
  // Never closed: a call into it may outlive everything (comm/patience.hpp).
  std::string reasons;
  for (const std::string& name : names) {
    void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) return library;
    const char* const reason = dlerror();
    reasons += (reasons.empty() ? "" : "; ") + (reason != nullptr ? std::string(reason) : name);
  }
  why_not = "the NCCL library cannot be opened (" + reasons + "); LD_LIBRARY_PATH may have to name its folder";
  return nullptr;
}

std::string text_of(const char* text) { return text != nullptr ? text : ""; }

std::string version_text(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

ncclComm_t communicator_of(void* communicator) { return static_cast<ncclComm_t>(communicator); }
cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

/// Fills `api`; false with the reason in `why_not` if the library lacks something.
bool fill(NcclApi& api, void* library, std::string& why_not) {
#define BLOCKTRAIN_FIND(name)                                            \
  auto* const name##_ = find<decltype(::name)>(library, #name, why_not); \
  if (name##_ == nullptr) return false
  BLOCKTRAIN_FIND(ncclGetUniqueId);
  BLOCKTRAIN_FIND(ncclCommInitRankConfig);
  BLOCKTRAIN_FIND(ncclCommGetAsyncError);
  BLOCKTRAIN_FIND(ncclCommFinalize);
  BLOCKTRAIN_FIND(ncclCommDestroy);
  BLOCKTRAIN_FIND(ncclCommAbort);
  BLOCKTRAIN_FIND(ncclAllReduce);
  BLOCKTRAIN_FIND(ncclBroadcast);
  BLOCKTRAIN_FIND(ncclSend);
  BLOCKTRAIN_FIND(ncclRecv);
  BLOCKTRAIN_FIND(ncclGroupStart);
  BLOCKTRAIN_FIND(ncclGroupEnd);
  BLOCKTRAIN_FIND(ncclGetErrorString);
  BLOCKTRAIN_FIND(ncclGetLastError);
  BLOCKTRAIN_FIND(ncclGetVersion);
#undef BLOCKTRAIN_FIND
  api.get_unique_id = [=](NcclUniqueId& id) {
    ncclUniqueId made;
    const ncclResult_t result = ncclGetUniqueId_(&made);
    std::memcpy(id.data(), &made, sizeof made);
    return static_cast<int>(result);
  };
  api.comm_init_rank_config = [=](void** communicator, int ranks, const NcclUniqueId& id, int rank) {
    ncclUniqueId copy;
    std::memcpy(&copy, id.data(), sizeof copy);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    // Straight to the caller's place: a thread of NCCL writes it once more at the end of the creation.
    return static_cast<int>(
        ncclCommInitRankConfig_(reinterpret_cast<ncclComm_t*>(communicator), ranks, copy, rank, &config));
  };
  api.comm_get_async_error = [=](void* communicator, int* state) {
    ncclResult_t now = ncclSuccess;
    const ncclResult_t result = ncclCommGetAsyncError_(communicator_of(communicator), &now);
    *state = now;
    return static_cast<int>(result);
  };
  api.comm_finalize = [=](void* c) { return static_cast<int>(ncclCommFinalize_(communicator_of(c))); };
  api.comm_destroy = [=](void* c) { return static_cast<int>(ncclCommDestroy_(communicator_of(c))); };
  api.comm_abort = [=](void* c) { return static_cast<int>(ncclCommAbort_(communicator_of(c))); };
  api.all_reduce = [=](const void* send, void* receive, std::size_t count, void* c, void* stream) {
    return static_cast<int>(
        ncclAllReduce_(send, receive, count, ncclFloat32, ncclSum, communicator_of(c), stream_of(stream)));
  };
  api.broadcast = [=](const void* send, void* receive, std::size_t bytes, int root, void* c, void* stream) {
    return static_cast<int>(
        ncclBroadcast_(send, receive, bytes, ncclUint8, root, communicator_of(c), stream_of(stream)));
  };
  api.send = [=](const void* data, std::size_t bytes, int peer, void* c, void* stream) {
    return static_cast<int>(ncclSend_(data, bytes, ncclUint8, peer, communicator_of(c), stream_of(stream)));
  };
  api.receive = [=](void* data, std::size_t bytes, int peer, void* c, void* stream) {
    return static_cast<int>(ncclRecv_(data, bytes, ncclUint8, peer, communicator_of(c), stream_of(stream)));
  };
  api.group_start = [=] { return static_cast<int>(ncclGroupStart_()); };
  api.group_end = [=] { return static_cast<int>(ncclGroupEnd_()); };
  api.get_error_string = [=](int code) { return text_of(ncclGetErrorString_(static_cast<ncclResult_t>(code))); };
  api.get_last_error = [=](void* c) { return text_of(ncclGetLastError_(communicator_of(c))); };
  api.get_version = [=](int* version) { return static_cast<int>(ncclGetVersion_(version)); };
  return true;
}

}  // namespace

NcclLibrary open_nccl_library(std::span<const std::string> names) {
  NcclLibrary library;
  void* const opened = open(names, library.why_not);
  if (opened == nullptr) return library;
  auto api = std::make_shared<NcclApi>();
  if (!fill(*api, opened, library.why_not)) return library;
  int version = 0;
  if (const int code = api->get_version(&version); code != nccl_success) {
    library.why_not = "the NCCL library does not tell its version: " + api->get_error_string(code);
    return library;
  }
  if (version < oldest_version) {
    library.why_not = "the NCCL library is version " + version_text(version) + "; at least 2.14 is needed";
    return library;
  }
  library.version = version_text(version);
  library.api = std::move(api);
  return library;
}

const NcclLibrary& nccl_library() {
  // Never destroyed: see open().
  static const NcclLibrary* const library = [] {
    // Without overwriting; failing leaves the default, which is right in all but its bits.
    (void)setenv("NCCL_NVLS_ENABLE", "0", 0);
    // The one that the loader finds, else the one this program was built with, which may be on no search path.
    const std::array<std::string, 2> names{"libnccl.so.2", BLOCKTRAIN_NCCL_LIBRARY};
    return new NcclLibrary(open_nccl_library(names));
  }();
  return *library;
}

}  // namespace blocktrain::comm
