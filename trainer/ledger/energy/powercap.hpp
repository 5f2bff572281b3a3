#pragma once
/// Energy of CPUs and memory from the kernel's powercap tree (RAPL; Intel and AMD use the same names):
/// ROOT/intel-rapl:N is a package (its file `name` says package-N), ROOT/intel-rapl:N:M a part of it (core, uncore,
/// dram).
///
/// cpu is the sum of all packages. Parts named core and uncore are inside their package, and psys is the whole machine
/// with the packages in it, so neither is added. The tree intel-rapl-mmio counts the same packages again and is left
/// out. dram is the sum of the parts with that name, one of each package.
///
/// Counters wrap: a 32-bit register in units of 15 to 61 microjoules, so after 65 to 260 kJ, which a package of
/// 400 W takes 160 seconds to fill. Two wraps between reads cannot be seen; read at least every 10 s.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/ledger/energy/sensor.hpp"

namespace blocktrain::trainer {

class PowercapSensor final : public EnergySensor {
 public:
  /// Looks under `root` for the zones of `source` (cpu or dram). Never throws for what it finds: what is missing or
  /// may not be read becomes the reason of every reading. All zones have to be readable, part of a sum would be a lie.
  PowercapSensor(const std::string& root, EnergySource source);

  std::string name() const override { return "powercap"; }
  EnergySource source() const override { return source_; }
  EnergyReading read(std::int64_t now) override;

  /// Files that are added up, for `doctor`; empty when there are none.
  std::vector<std::string> files() const;

 private:
  struct Zone {
    std::string counter;      ///< file of microjoules
    std::uint64_t range = 0;  ///< microjoules at which the counter wraps; 0: not known
    std::uint64_t last = 0;   ///< microjoules at the last reading
  };

  void find_zones(const std::string& root);
  EnergyReading fail(std::string reason);

  EnergySource source_;
  std::vector<Zone> zones_;
  bool started_ = false;
  std::int64_t last_time_ = 0;
  std::uint64_t microjoules_ = 0;  ///< since the first reading, all zones
  std::string reason_;             ///< of the failure that ended the readings
};

}  // namespace blocktrain::trainer
