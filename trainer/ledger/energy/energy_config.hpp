#pragma once
/// The keys of the section `energy`.

#include <string>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::trainer {

struct EnergyConfig {
  std::string powercap_root = "/sys/class/powercap";
  double sample_seconds = 1.0;
  double price_usd_per_kwh = 0.12;

  void describe(std::vector<blocks::Setting>& out);
  bool operator==(const EnergyConfig&) const = default;
};

}  // namespace blocktrain::trainer
