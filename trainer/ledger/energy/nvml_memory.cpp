#include "trainer/ledger/energy/nvml_memory.hpp"

#include <algorithm>
#include <utility>

namespace blocktrain::trainer {

namespace {

constexpr std::size_t room_at_first = 32, most_processes = 1 << 16;
/// Between two calls further processes may come.
constexpr int most_tries = 4;

}  // namespace

NvmlMemory::NvmlMemory(std::shared_ptr<const NvmlSession> session, const std::string& uuid, unsigned pid)
    : session_(std::move(session)), pid_(pid), processes_(room_at_first) {
  if (session_ == nullptr) {
    reason_ = "NVML is not here";
  } else if (session_->api().compute_processes == nullptr) {
    reason_ = "this NVML has no list of the processes on a GPU";
  } else if (const int code = session_->api().device_by_uuid(uuid.c_str(), &handle_); code != nvml_success) {
    handle_ = nullptr;
    reason_ = "NVML knows no GPU with the UUID " + uuid + ": " + session_->error(code);
  }
}

std::optional<std::uint64_t> NvmlMemory::fail(std::string reason) {
  reason_ = std::move(reason);
  return std::nullopt;
}

std::optional<std::uint64_t> NvmlMemory::read() {
  if (handle_ == nullptr) return std::nullopt;
  unsigned count = 0;
  int code = nvml_insufficient_size;
  for (int i = 0; i < most_tries && code == nvml_insufficient_size; ++i) {
    count = static_cast<unsigned>(processes_.size());
    code = session_->api().compute_processes(handle_, &count, processes_.data());
    if (code == nvml_insufficient_size) {
      const std::size_t wanted = std::max<std::size_t>(count, processes_.size()) + room_at_first;
      if (wanted > most_processes) break;
      processes_.resize(wanted);
    }
  }
  if (code != nvml_success) return fail("NVML does not list the processes on the GPU: " + session_->error(code));
  std::uint64_t used = 0;
  bool found = false;
  for (std::size_t i = 0; i < std::min<std::size_t>(count, processes_.size()); ++i) {
    if (processes_[i].pid != pid_) continue;
    if (processes_[i].used_bytes == nvml_not_available) {
      return fail("NVML does not say how much memory a process uses on this GPU");
    }
    used += processes_[i].used_bytes;  // a line for each context
    found = true;
  }
  if (!found) return fail("NVML's list of the processes on the GPU does not name this one (as in many containers)");
  reason_.clear();
  return used;
}

}  // namespace blocktrain::trainer
