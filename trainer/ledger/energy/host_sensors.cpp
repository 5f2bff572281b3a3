#include "trainer/ledger/energy/host_sensors.hpp"

#include <iterator>

#include "trainer/ledger/energy/nvml_sensor.hpp"
#include "trainer/ledger/energy/nvml_session.hpp"
#include "trainer/ledger/energy/powercap.hpp"

namespace blocktrain::trainer {

std::vector<std::unique_ptr<EnergySensor>> gpu_sensors(const std::vector<GpuInUse>& gpus, const NvmlLibrary& library) {
  std::string reason;
  const std::shared_ptr<const NvmlSession> session = NvmlSession::open(library, reason);
  std::vector<std::unique_ptr<EnergySensor>> sensors;
  for (const GpuInUse& gpu : gpus) {
    if (!gpu.elsewhere.empty() || session == nullptr) {
      const std::string& why = gpu.elsewhere.empty() ? reason : gpu.elsewhere;
      sensors.push_back(std::make_unique<AbsentSensor>(EnergySource::gpu, why, gpu.device));
    } else {
      sensors.push_back(std::make_unique<NvmlSensor>(session, gpu));
    }
  }
  return sensors;
}

std::vector<std::unique_ptr<EnergySensor>> gpu_sensors(const std::vector<GpuInUse>& gpus) {
  if (gpus.empty()) return {};
  return gpu_sensors(gpus, load_nvml());
}

std::vector<std::unique_ptr<EnergySensor>> host_sensors(const std::string& powercap_root,
                                                        const std::vector<GpuInUse>& gpus) {
  std::vector<std::unique_ptr<EnergySensor>> sensors = gpu_sensors(gpus);
  if (gpus.empty()) sensors.push_back(std::make_unique<AbsentSensor>(EnergySource::gpu, "no GPU used"));
  sensors.push_back(std::make_unique<PowercapSensor>(powercap_root, EnergySource::cpu));
  sensors.push_back(std::make_unique<PowercapSensor>(powercap_root, EnergySource::dram));
  return sensors;
}

}  // namespace blocktrain::trainer
