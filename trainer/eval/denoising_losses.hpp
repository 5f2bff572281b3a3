#pragma once
/// How well a network denoises held-out samples, noise level by noise level. Samples, levels and noise are the same for
/// every network that is measured with the same seed, so two networks compare number by number.

#include <cstdint>
#include <vector>

#include "blocks/noise/schedule.hpp"
#include "trainer/eval/report_progress.hpp"
#include "trainer/eval/trained_network.hpp"

namespace blocktrain::trainer {

/// A noise level at which networks are compared.
struct ComparedLevel {
  double sigma = 0;
  int block = 0;      ///< of the partition; the level's owner
  bool edge = false;  ///< where two blocks meet
};

/// From the highest sigma: 16 levels equally spaced in the partition's coordinate, and those where two blocks meet.
std::vector<ComparedLevel> compared_levels(const blocks::NoiseSchedule& partition);

/// Mean loss at one noise level. `loss` has the EDM weight (method: section 1, weight), `mse` none.
struct LevelLoss : ComparedLevel {
  double loss = 0, mse = 0;
};

/// Mean loss over the noise levels that a block owns, drawn as in training, without overlap.
struct IntervalLoss {
  int block = 0;
  double sigma_lo = 0, sigma_hi = 0;
  double loss = 0, mse = 0;
};

struct DenoisingLosses {
  std::int64_t samples = 0, draws_per_sample = 0;
  std::vector<LevelLoss> levels;  ///< from the highest sigma
  std::vector<IntervalLoss> intervals;
  double loss = 0, mse = 0;  ///< means over the intervals
};

/// The partition of a run into blocks.count blocks, without overlap; for an end-to-end run that of the block-local run
/// it is compared with.
blocks::NoiseSchedule compared_partition(const Config& config);

/// Measures `network`, of one block or as many as `partition`, on `samples` held-out samples (all, when there are
/// fewer). The network's ranks share the levels and draws, and all call together; rank 0 gets the losses, for the
/// others they stay 0. Throws as EvaluationRanks::run().
DenoisingLosses measure_denoising(TrainedNetwork& network, const Samples& data, const Config& config,
                                  std::int64_t samples, const ReportProgress& report = {});

}  // namespace blocktrain::trainer
