#include "trainer/ledger/energy/energy_config.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

void EnergyConfig::describe(std::vector<Setting>& out) {
  out.push_back({"energy", "powercap_root", PathValue{&powercap_root},
                 "Folder of Linux's powercap counters (RAPL), from which CPU and memory joules are read."});
  out.push_back({"energy", "sample_seconds", number(sample_seconds, 0.01, 3600),
                 "Seconds between two readings of the energy sensors."});
  out.push_back({"energy", "price_usd_per_kwh", number(price_usd_per_kwh, 0, 1000),
                 "Price of energy in US dollars per kilowatt-hour."});
}

}  // namespace blocktrain::trainer
