#include "trainer/tasks/labels/labels_options.hpp"

#include <string>

#include "trainer/tasks/labels/image_operations.hpp"
#include "trainer/tasks/sampling_steps.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

void LabelsOptions::describe(std::vector<Setting>& out) {
  ImageDataOptions::describe(out);
  out.push_back({"data", "crop_padding", integer(crop_padding, 0, 1024),
                 "Pixels of black around a training image, of which a part of the image's own size is cut out at "
                 "random. 0: none."});
  out.push_back({"data", "rand_augment", integer(rand_augment, 0, 64),
                 "Operations of RandAugment per training image, drawn at random. 0: none."});
  out.push_back({"data", "rand_augment_magnitude", integer(rand_augment_magnitude, 0, most_magnitude),
                 "Strength of these operations."});
  out.push_back(sampling_steps_setting(steps));
}

void LabelsOptions::check(std::span<const Setting>, std::vector<Conflict>& out) const {
  ImageDataOptions::check(out);
  check_sampling_steps(steps, out);
  if (rand_augment > 0 && shape.size() == 3 && shape[0] != 1 && shape[0] != 3) {
    out.push_back({{"data.rand_augment", "data.shape"},
                   "found data.rand_augment " + std::to_string(rand_augment) + " with images of " +
                       std::to_string(shape[0]) +
                       " channels; accepted: grey images or those of red, green and blue, "
                       "or rand_augment 0"});
  }
}

}  // namespace blocktrain::trainer
