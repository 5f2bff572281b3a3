#include "trainer/worker/optimizer_config.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

void OptimizerConfig::describe(std::vector<Setting>& out) {
  out.push_back({"optimizer", "learning_rate", above(learning_rate, 0, 10),
                 "Highest learning rate, reached at the end of warm-up."});
  out.push_back({"optimizer", "weight_decay", number(weight_decay, 0, 100),
                 "Decoupled weight decay of matrices, per unit of learning rate."});
  out.push_back({"optimizer", "betas", NumberListValue{&betas, {0, 1, false, true}, {2, 2}},
                 "Decay per step of the averages of the gradient and of its square."});
  out.push_back({"optimizer", "epsilon", number(epsilon, 1e-30, 1), "Added to the divisor of an update."});
  out.push_back({"optimizer", "clip_norm", number(clip_norm, 0, 1e30),
                 "Largest norm of a block's gradient; longer ones are scaled down. 0: none are."});
  out.push_back({"optimizer", "warmup_steps", integer(warmup_steps, 0, most_steps),
                 "Steps over which the learning rate rises from 0."});
  out.push_back({"optimizer", "decay_steps", integer(decay_steps, -1, most_steps),
                 "Step at which the cosine that follows warm-up ends. -1: budget.steps. 0: no decay."});
  out.push_back({"optimizer", "final_fraction", number(final_fraction, 0, 1),
                 "Learning rate at the end of the decay, as a fraction of learning_rate."});
  out.push_back({"optimizer", "average_decay", below(average_decay, 0, 1),
                 "Decay per step of an exponential moving average of the weights, which eval and generate then "
                 "use. 0: no average."});
}

void OptimizerConfig::check(std::vector<Conflict>& out) const {
  if (decay_steps > 0 && warmup_steps > decay_steps) {
    out.push_back({{"optimizer.warmup_steps", "optimizer.decay_steps"},
                   "found optimizer.warmup_steps " + std::to_string(warmup_steps) + " with optimizer.decay_steps " +
                       std::to_string(decay_steps) + "; accepted: a warm-up that ends before the decay"});
  }
  if (learning_rate * weight_decay > 1) {
    out.push_back({{"optimizer.weight_decay", "optimizer.learning_rate"},
                   "found optimizer.learning_rate " + shortest(learning_rate) + " times optimizer.weight_decay " +
                       shortest(weight_decay) +
                       "; accepted: a product of at most 1, or decay would turn weights round"});
  }
}

}  // namespace blocktrain::trainer
