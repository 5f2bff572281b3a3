#include "trainer/tasks/images/images_options.hpp"

#include <string>

#include "trainer/tasks/sampling_steps.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

void ImagesOptions::describe(std::vector<Setting>& out) {
  ImageDataOptions::describe(out);
  out.push_back({"eval", "samples", integer(samples, 2, most_samples),
                 "Generated images for the agreement with a classifier and for Frechet distances."});
  out.push_back(sampling_steps_setting(steps));
  out.push_back({"eval", "sampler", one_of(sampler),
                 "How noise is turned into images; heun runs the network twice per step, ancestral adds noise."});
  out.push_back({"eval", "guidance", number(guidance, 0, 100),
                 "Strength of classifier-free guidance. 1: none, and half the work."});
}

void ImagesOptions::check(std::span<const Setting> all, std::vector<Conflict>& out) const {
  ImageDataOptions::check(out);
  check_sampling_steps(steps, out);
  const auto* label_dropout = value_of<double>(all, "model.label_dropout");
  if (guidance != 1 && label_dropout != nullptr && *label_dropout == 0) {
    out.push_back({{"eval.guidance", "model.label_dropout"},
                   "found eval.guidance " + shortest(guidance) +
                       " with model.label_dropout 0, so that no image is learnt without its label; accepted: "
                       "guidance 1, or a label_dropout such as 0.1"});
  }
}

}  // namespace blocktrain::trainer
