#include "trainer/tasks/images/image_data_options.hpp"

#include <string>

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

namespace {

/// Of one image, declared: more would be none, and their product has to stay inside 64 bits.
constexpr std::int64_t most_numbers = std::int64_t{1} << 24;

}  // namespace

void ImageDataOptions::describe(std::vector<Setting>& out) {
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
}

void ImageDataOptions::check(std::vector<Conflict>& out) const {
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
}

}  // namespace blocktrain::trainer
