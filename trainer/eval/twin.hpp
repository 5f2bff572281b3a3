#pragma once
/// A second run that is evaluated beside the first.

#include "trainer/eval/trained_network.hpp"

namespace blocktrain::trainer {

/// Throws InputError naming the keys when losses and samples of `twin` do not compare with those of `run`: other data,
/// another noise range where both have noise, or blocks with other intervals.
void require_comparable(const TrainedNetwork& run, const TrainedNetwork& twin);

}  // namespace blocktrain::trainer
