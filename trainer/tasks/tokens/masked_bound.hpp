#pragma once
/// How well a network that finds masked tokens knows held-out text: a bound from above on its negative log-likelihood
/// (method: section 6, exact masked objective). Of a window of n tokens it is the sum over blocks of (K_b/n) times the
/// mean of block b's loss, per token, for K_b of the n numbers of masked tokens are the block's. Nothing has to be
/// added for a reconstruction.
///
/// Windows, numbers and places of masks are keyed by the seed and nothing else, so two networks compare number by
/// number, and no bit depends on ranks, threads or the size of batches.

#include <cstdint>
#include <vector>

#include "trainer/data/samples.hpp"
#include "trainer/eval/report_progress.hpp"
#include "trainer/eval/trained_network.hpp"

namespace blocktrain::trainer {

/// Cross-entropy of a masked token where `masked` of a window's tokens are.
struct MaskedLevel {
  std::int64_t masked = 0;
  int block = 0;    ///< of the partition; the level's owner
  double loss = 0;  ///< nats per masked token
};

/// What one block adds to the bound.
struct MaskedInterval {
  int block = 0;
  std::int64_t masked_lo = 0, masked_hi = 0;  ///< it owns masked_lo < m <= masked_hi
  double loss = 0;                            ///< mean, nats per token
};

struct MaskedBound {
  std::int64_t windows = 0, draws_per_window = 0;  ///< draws for each block
  double nats_per_token = 0;
  /// Of that mean, as an estimate of the mean over such windows. Draws are stratified, which it does not know: rather
  /// too large than too small.
  double standard_error = 0;
  std::vector<MaskedInterval> intervals;  ///< from the most masked
  std::vector<MaskedLevel> levels;        ///< from the most masked
};

/// Measures `network`, of one block or of as many as the run's config counts, on `windows` held-out windows (all, when
/// there are fewer). The network's ranks share the work, and all call together; rank 0 gets the results, for the others
/// they stay 0. Throws as EvaluationRanks::run().
MaskedBound measure_masked_bound(TrainedNetwork& network, const Samples& data, const Config& config,
                                 std::int64_t windows, int draws, const ReportProgress& report = {});

}  // namespace blocktrain::trainer
