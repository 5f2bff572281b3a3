#pragma once
/// Memory that a process uses on a GPU, as NVML's list of the processes on it says: all of it, context, kernels and
/// libraries included, and nothing of other processes.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/ledger/energy/nvml_session.hpp"

namespace blocktrain::trainer {

class NvmlMemory {
 public:
  /// Of process `pid` on the board with this UUID. Never throws for what it finds: a session that is null, a board that
  /// is not there and a library without the list become the reason of every reading.
  NvmlMemory(std::shared_ptr<const NvmlSession> session, const std::string& uuid, unsigned pid);

  /// Bytes used now. None where the list cannot be read, does not name the process (in a container NVML may number
  /// processes as the host does) or does not say how much it uses; reason() says which.
  std::optional<std::uint64_t> read();
  /// Why the last reading gave nothing; empty when it gave something.
  const std::string& reason() const { return reason_; }

 private:
  std::optional<std::uint64_t> fail(std::string reason);

  std::shared_ptr<const NvmlSession> session_;
  NvmlDevice handle_ = nullptr;
  unsigned pid_;
  std::vector<NvmlProcess> processes_;
  std::string reason_;
};

}  // namespace blocktrain::trainer
