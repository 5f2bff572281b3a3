#pragma once
/// What `plan` tells of images.

#include "trainer/config/config.hpp"
#include "trainer/tasks/task.hpp"

namespace blocktrain::trainer {

/// Of the images at data.path, by their files' names and sizes; where there are none, as data.shape and data.classes
/// say. Throws InputError where these do not say it, or not what the files are.
DataOutline outline_images(const Config& config);

}  // namespace blocktrain::trainer
