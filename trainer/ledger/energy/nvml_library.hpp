#pragma once
/// The few functions of NVIDIA's management library (NVML) that the ledger needs, found at run time: it comes with the
/// driver, so nothing may need it to build, to link or to start. Declared here as the NVML API reference describes
/// them.

#include <optional>
#include <string>

namespace blocktrain::trainer {

/// nvmlDevice_t.
using NvmlDevice = struct NvmlDeviceTag*;

/// Values of nvmlReturn_t that mean something to us.
inline constexpr int nvml_success = 0, nvml_invalid_argument = 2, nvml_not_supported = 3, nvml_not_found = 6,
                     nvml_insufficient_size = 7, nvml_version_mismatch = 18;

/// nvmlProcessInfo_v2_t: a process that computes on a device.
struct NvmlProcess {
  unsigned pid = 0;                   ///< in the driver's view, which in a container need not be the process's own
  unsigned long long used_bytes = 0;  ///< memory of the device; nvml_not_available where the driver does not say
  unsigned gpu_instance = 0, compute_instance = 0;
};
static_assert(sizeof(NvmlProcess) == 24);
/// NVML_VALUE_NOT_AVAILABLE.
inline constexpr unsigned long long nvml_not_available = ~0ull;

/// nvmlFieldValue_t: a quantity asked for by its number.
struct NvmlField {
  unsigned id = 0;
  unsigned scope = 0;  ///< of power: 0, the GPU with its memory
  long long timestamp = 0, latency = 0;
  unsigned type = 0;  ///< nvmlValueType_t: which part of the value counts
  int code = 0;       ///< nvmlReturn_t of this field
  union {
    double real;
    unsigned number;
    unsigned long long large_number;
  } value = {0};
};
static_assert(sizeof(NvmlField) == 40);
/// NVML_FI_DEV_POWER_INSTANT, milliwatts.
inline constexpr unsigned nvml_power_instant = 186;
/// Values of nvmlValueType_t: unsigned, and of 64 bits.
inline constexpr unsigned nvml_type_unsigned = 1, nvml_type_unsigned_long = 2, nvml_type_unsigned_long_long = 3;

/// A table of its functions; a test fills in its own. All return nvmlReturn_t, but error_string.
struct NvmlApi {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int code) = nullptr;
  int (*driver_version)(char* text, unsigned size) = nullptr;
  int (*device_count)(unsigned* count) = nullptr;
  int (*device_by_index)(unsigned index, NvmlDevice* device) = nullptr;
  int (*device_by_uuid)(const char* uuid, NvmlDevice* device) = nullptr;
  int (*device_uuid)(NvmlDevice device, char* text, unsigned size) = nullptr;
  int (*device_name)(NvmlDevice device, char* text, unsigned size) = nullptr;
  /// Millijoules since the driver was loaded.
  int (*total_energy)(NvmlDevice device, unsigned long long* millijoules) = nullptr;
  /// Milliwatts, of boards since Ampere (but GA100) the mean of the last second; null: this library does not have it.
  int (*power_usage)(NvmlDevice device, unsigned* milliwatts) = nullptr;
  /// Fills in each of `count` fields by its id; null: this library does not have it.
  int (*field_values)(NvmlDevice device, int count, NvmlField* fields) = nullptr;
  /// Milliwatts that the board may draw; null: this library does not have it.
  int (*power_limit)(NvmlDevice device, unsigned* milliwatts) = nullptr;
  /// Processes that compute on the device: `*count` is the room at `processes` and becomes their number, also where it
  /// does not suffice (nvml_insufficient_size); null: this library does not have it.
  int (*compute_processes)(NvmlDevice device, unsigned* count, NvmlProcess* processes) = nullptr;
};

struct NvmlLibrary {
  std::optional<NvmlApi> api;
  std::string reason;  ///< why there is none; empty when there is
};

/// Opens the library, which then stays for the life of the process. Never throws for what it finds.
NvmlLibrary load_nvml(const std::string& file = "libnvidia-ml.so.1");

}  // namespace blocktrain::trainer
