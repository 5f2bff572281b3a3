#pragma once
/// NVML between its init and its shutdown, and what it says of the machine.

#include <memory>
#include <string>
#include <vector>

#include "trainer/ledger/energy/nvml_library.hpp"

namespace blocktrain::trainer {

/// A GPU as NVML sees it, for `doctor`.
struct NvmlBoard {
  std::string uuid, name;    ///< "" when NVML does not tell
  bool has_counter = false;  ///< of its total energy
  std::string reason;        ///< why it has none
};

class NvmlSession {
 public:
  /// Null when the library is absent or does not start; `reason` says why then.
  static std::shared_ptr<const NvmlSession> open(const NvmlLibrary& library, std::string& reason);
  ~NvmlSession();
  NvmlSession(const NvmlSession&) = delete;
  NvmlSession& operator=(const NvmlSession&) = delete;

  const NvmlApi& api() const { return api_; }
  /// NVML's words for an error, e.g. "GPU is lost (NVML error 15)".
  std::string error(int code) const;
  /// "" when NVML does not tell.
  std::string driver_version() const;
  std::string name(NvmlDevice device) const;
  /// All GPUs of the machine that this process may see.
  std::vector<NvmlBoard> boards() const;

 private:
  explicit NvmlSession(const NvmlApi& api) : api_(api) {}

  NvmlApi api_;
};

}  // namespace blocktrain::trainer
