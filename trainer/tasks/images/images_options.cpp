#include "trainer/tasks/images/images_options.hpp"

#include <algorithm>
#include <string>

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

namespace {

/// Of one image, declared: more would be none, and their product has to stay inside 64 bits.
constexpr std::int64_t most_numbers = std::int64_t{1} << 24;

}  // namespace

void ImagesOptions::describe(std::vector<Setting>& out) {
  constexpr std::int64_t longest_side = 65536;
  // What they say is checked against the data.
  out.push_back(not_training(
      {"data", "format", one_of(format), "Format of the files; auto goes by their names: idx is that of MNIST."}));
  out.push_back(
      not_training({"data", "shape", IntListValue{&shape, {1, longest_side}, {0, 3}},
                    "Channels, height and width of an image, [3, 32, 32] for instance. With it and "
                    "data.classes, plan needs no data; data of another shape are refused. []: the data say."}));
  out.push_back(not_training({"data", "classes", integer(classes, 0, most_classes),
                              "Number of classes, declared as data.shape is. 0: the data say."}));
  out.push_back({"data", "flip", BooleanValue{&flip}, "Mirrors half of the images, drawn at random."});

  out.push_back({"eval", "samples", integer(samples, 2, most_samples),
                 "Generated images for the agreement with a classifier and for Frechet distances."});
  out.push_back({"eval", "steps", IntListValue{&steps, {1, 100000}, {1, 64}},
                 "Numbers of sampling steps to compare, each once."});
  out.push_back({"eval", "sampler", one_of(sampler),
                 "How noise is turned into images; heun runs the network twice per step, ancestral adds noise."});
  out.push_back({"eval", "guidance", number(guidance, 0, 100),
                 "Strength of classifier-free guidance. 1: none, and half the work."});
}

void ImagesOptions::check(std::span<const Setting> all, std::vector<Conflict>& out) const {
  if (!shape.empty() && shape.size() != 3) {
    out.push_back({{"data.shape"},
                   "found a list of " + std::to_string(shape.size()) +
                       "; accepted: channels, height and width, such as [3, 32, 32], or []"});
  } else if (!shape.empty() && std::int64_t{shape[0]} * shape[1] > most_numbers / shape[2]) {
    out.push_back({{"data.shape"},
                   "found images of " + std::to_string(shape[0]) + "x" + std::to_string(shape[1]) + "x" +
                       std::to_string(shape[2]) + " numbers; accepted: at most " + std::to_string(most_numbers) +
                       " numbers"});
  }
  std::vector<int> sorted = steps;
  std::sort(sorted.begin(), sorted.end());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end()) {
    out.push_back({{"eval.steps"}, "found " + std::to_string(*twice) + " twice; accepted: each number of steps once"});
  }
  const auto* label_dropout = value_of<double>(all, "model.label_dropout");
  if (guidance != 1 && label_dropout != nullptr && *label_dropout == 0) {
    out.push_back({{"eval.guidance", "model.label_dropout"},
                   "found eval.guidance " + shortest(guidance) +
                       " with model.label_dropout 0, so that no image is learnt without its label; accepted: "
                       "guidance 1, or a label_dropout such as 0.1"});
  }
}

}  // namespace blocktrain::trainer
