#pragma once
/// A GPU's UUID as text. NVML, NCCL's choice and the ledger know a board by it, never by an index.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace blocktrain::kernels {

/// The 16 bytes of a UUID (cudaDeviceProp::uuid) in NVML's form, "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx".
inline std::string gpu_uuid_text(std::span<const std::uint8_t, 16> bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text = "GPU-";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

}  // namespace blocktrain::kernels
