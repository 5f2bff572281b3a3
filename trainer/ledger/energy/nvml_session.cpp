#include "trainer/ledger/energy/nvml_session.hpp"

#include <array>

namespace blocktrain::trainer {

namespace {

/// What `call` writes into a buffer; "" when it fails. NVML's own limits are 96 bytes.
template <typename Call>
std::string text_of(Call&& call) {
  std::array<char, 128> buffer{};
  if (call(buffer.data(), static_cast<unsigned>(buffer.size() - 1)) != nvml_success) return {};
  return buffer.data();
}

}  // namespace

std::shared_ptr<const NvmlSession> NvmlSession::open(const NvmlLibrary& library, std::string& reason) {
  if (!library.api) {
    reason = library.reason;
    return nullptr;
  }
  const int code = library.api->init();
  if (code != nvml_success) {
    const char* words = library.api->error_string(code);
    reason = "NVML does not start: " + std::string(words == nullptr ? "" : words) + " (NVML error " +
             std::to_string(code) + ")";
    if (code == nvml_version_mismatch) reason += "; the driver was updated and not loaded again: restart the machine";
    return nullptr;
  }
  reason.clear();
  return std::shared_ptr<const NvmlSession>(new NvmlSession(*library.api));
}

NvmlSession::~NvmlSession() { api_.shutdown(); }

std::string NvmlSession::error(int code) const {
  const char* words = api_.error_string(code);
  return std::string(words == nullptr ? "" : words) + " (NVML error " + std::to_string(code) + ")";
}

std::string NvmlSession::driver_version() const { return text_of(api_.driver_version); }

std::string NvmlSession::name(NvmlDevice device) const {
  return text_of([&](char* text, unsigned size) { return api_.device_name(device, text, size); });
}

std::vector<NvmlBoard> NvmlSession::boards() const {
  std::vector<NvmlBoard> boards;
  unsigned count = 0;
  if (api_.device_count(&count) != nvml_success) return boards;
  for (unsigned i = 0; i < count; ++i) {
    NvmlBoard& board = boards.emplace_back();
    NvmlDevice device = nullptr;
    int code = api_.device_by_index(i, &device);
    if (code == nvml_success) {
      board.uuid = text_of([&](char* text, unsigned size) { return api_.device_uuid(device, text, size); });
      board.name = name(device);
      unsigned long long millijoules = 0;
      code = api_.total_energy(device, &millijoules);
    }
    board.has_counter = code == nvml_success;
    if (!board.has_counter) board.reason = error(code);
  }
  return boards;
}

}  // namespace blocktrain::trainer
