#pragma once
/// What every evaluation knows besides quality, and what its eval.json begins with and says of each network.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "trainer/eval/trained_network.hpp"

namespace blocktrain::trainer {

inline constexpr int eval_file_version = 1;

struct EvalHead {
  double seconds = 0;
  int ranks = 1;  ///< that shared the work
  std::string data_path, data_digest;
  std::string samples;                                     ///< what the task calls them, as in eval.json's keys
  std::int64_t training_samples = 0, heldout_samples = 0;  ///< in the data set
};

struct EvaluatedNetwork {
  std::string folder, summary, computed_on, training, experiment;
  std::vector<std::int64_t> steps;
  std::int64_t parameters = 0;
};

/// Of an evaluation of `run` on `data`; how long it took is not known yet.
EvalHead eval_head(TrainedNetwork& run, const Samples& data);
EvaluatedNetwork evaluated_network(const TrainedNetwork& network);

/// What a table begins with: "runs/a: 4 blocks at step 1500; on the CPU in float32, 3 ranks".
std::string introduction(const EvaluatedNetwork& network, int ranks);

/// format, version, program, time, seconds, ranks, data: {path, digest, training_SAMPLES, heldout_SAMPLES}, with what
/// the task calls them in the names.
nlohmann::ordered_json to_json(const EvalHead& head);

/// folder, summary, computed_on, training, experiment, steps, parameters.
nlohmann::ordered_json to_json(const EvaluatedNetwork& network);

}  // namespace blocktrain::trainer
