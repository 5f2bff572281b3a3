#pragma once
/// What an evaluation says of a network besides its quality.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/eval/trained_network.hpp"

namespace blocktrain::trainer {

struct EvaluatedNetwork {
  std::string folder, summary, computed_on, training, experiment;
  std::vector<std::int64_t> steps;
  std::int64_t parameters = 0;
};

EvaluatedNetwork evaluated_network(const TrainedNetwork& network);

}  // namespace blocktrain::trainer
