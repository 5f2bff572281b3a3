#pragma once
/// What every eval.json about images begins with, and says of each network.

#include <nlohmann/json.hpp>
#include <string>

#include "trainer/tasks/images/evaluated_network.hpp"

namespace blocktrain::trainer {

inline constexpr int eval_file_version = 1;

struct EvalHead {
  double seconds = 0;
  int ranks = 1;  ///< that shared the work
  std::string data_path, data_digest;
  std::int64_t training_images = 0, heldout_images = 0;  ///< in the data set
};

/// format, version, program, time, seconds, ranks, data.
nlohmann::ordered_json to_json(const EvalHead& head);

/// folder, summary, computed_on, training, experiment, steps, parameters.
nlohmann::ordered_json to_json(const EvaluatedNetwork& network);

}  // namespace blocktrain::trainer
