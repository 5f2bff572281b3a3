#include "trainer/eval/eval_config.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

void EvalConfig::describe(std::string_view samples, std::vector<Setting>& out) {
  out.push_back({"eval", "every_steps", integer(every_steps, 0, most_steps),
                 "Steps of a block between two held-out losses while it trains. 0: only by `blocktrain eval`."});
  out.push_back({"eval", samples, integer(heldout, 1, most_samples), "Held-out samples per loss."});
  out.push_back({"eval", "batch", integer(batch, 0, 65535),
                 "Samples at a time of `blocktrain eval` and `generate`. 0: 128 on a CPU, 16 to 1024 on a GPU, the "
                 "more the fewer tokens a sample has."});
}

}  // namespace blocktrain::trainer
