#include "trainer/checkpoint/checkpoint_config.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

void CheckpointConfig::describe(std::vector<Setting>& out) {
  out.push_back({"checkpoint", "every_steps", integer(every_steps, 1, most_steps),
                 "Steps of a block between two checkpoints; the end and an interruption are saved as well."});
  out.push_back({"checkpoint", "keep", integer(keep, 1, 1000000), "Checkpoints kept per block, newest first."});
}

}  // namespace blocktrain::trainer
