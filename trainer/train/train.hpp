#pragma once
/// A training run, from the config to the last row of the ledger: what every rank does.

#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "trainer/config/config.hpp"
#include "trainer/coordinator/progress.hpp"
#include "trainer/worker/worker.hpp"

namespace blocktrain::trainer {

struct TrainRequest {
  std::string config_path;  ///< read by rank 0 alone
  std::vector<std::string> overrides;
  bool resume = false;
  ProgressStyle progress = ProgressStyle::plain;
  AfterStep after_step;  ///< for tests
};

/// Trains on all ranks of `world` together. Returns the exit code of the run, the same on all ranks: 0, 1 or
/// exit_interrupted. Errors found before training starts are InputError or RunError on rank 0 and QuietExit
/// elsewhere; nothing has been created then. What goes wrong later is printed by rank 0.
int train(comm::Communicator& world, const TrainRequest& request);

}  // namespace blocktrain::trainer
