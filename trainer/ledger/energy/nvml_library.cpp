#include "trainer/ledger/energy/nvml_library.hpp"

#include <dlfcn.h>

namespace blocktrain::trainer {

namespace {

/// Puts the function `name` of `library` into `to`; false when there is none.
template <typename Function>
bool find(void* library, const char* name, Function*& to) {
  to = reinterpret_cast<Function*>(::dlsym(library, name));
  return to != nullptr;
}

std::string last_error() {
  const char* error = ::dlerror();
  return error == nullptr ? "unknown error" : error;
}

}  // namespace

NvmlLibrary load_nvml(const std::string& file) {
  // Never closed: the driver's library may keep threads and handlers.
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const std::string error = last_error();
    // A library that is there and lacks another one fails with that one's name.
    const bool absent = error.starts_with(file) && error.find("No such file") != std::string::npos;
    return {std::nullopt, absent ? file + " not found: no NVIDIA driver on this host, or none in this container"
                                 : file + " cannot be opened: " + error};
  }
  NvmlApi api;
  const char* missing = nullptr;
  const auto need = [&](const char* name, auto*& to) {
    if (missing == nullptr && !find(library, name, to)) missing = name;
  };
  need("nvmlInit_v2", api.init);
  need("nvmlShutdown", api.shutdown);
  need("nvmlErrorString", api.error_string);
  need("nvmlSystemGetDriverVersion", api.driver_version);
  need("nvmlDeviceGetCount_v2", api.device_count);
  need("nvmlDeviceGetHandleByIndex_v2", api.device_by_index);
  need("nvmlDeviceGetHandleByUUID", api.device_by_uuid);
  need("nvmlDeviceGetUUID", api.device_uuid);
  need("nvmlDeviceGetName", api.device_name);
  need("nvmlDeviceGetTotalEnergyConsumption", api.total_energy);
  if (missing != nullptr) {
    return {std::nullopt, file + " has no " + missing + ": the NVIDIA driver is too old to count energy"};
  }
  find(library, "nvmlDeviceGetPowerUsage", api.power_usage);
  find(library, "nvmlDeviceGetFieldValues", api.field_values);
  find(library, "nvmlDeviceGetEnforcedPowerLimit", api.power_limit);
  // Not _v3: some drivers of the 535 series fill that one's entries with another size.
  find(library, "nvmlDeviceGetComputeRunningProcesses_v2", api.compute_processes);
  return {api, {}};
}

}  // namespace blocktrain::trainer
