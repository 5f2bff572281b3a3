#pragma once
/// What `plan` tells of images.

#include <string>

#include "trainer/tasks/images/image_data_options.hpp"
#include "trainer/tasks/task.hpp"

namespace blocktrain::trainer {

/// Of the images at `path`, by their files' names and sizes; where there are none, as data.shape and data.classes
/// say. Throws InputError where these do not say it, or not what the files are.
DataOutline outline_images(const std::string& path, const ImageDataOptions& options);

/// "60 images of 1x8x8, 10 classes, 20 held out".
std::string describe_images(const DataFacts& facts);

}  // namespace blocktrain::trainer
