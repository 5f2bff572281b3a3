#pragma once
/// What `generate` makes of a network that was trained on images: a picture of them.

#include "trainer/eval/trained_network.hpp"
#include "trainer/tasks/generate_arguments.hpp"

namespace blocktrain::trainer {

/// Draws the picture that `arguments` ask for, writes it and says so. All ranks of the network call together. Throws
/// InputError where the arguments do not fit the run.
void generate_images(TrainedNetwork& network, const GenerateArguments& arguments);

}  // namespace blocktrain::trainer
