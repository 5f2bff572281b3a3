#pragma once
/// What `blocktrain data` says of images.

#include <string>
#include <string_view>

#include "trainer/tasks/images/image_data_options.hpp"
#include "trainer/tasks/task.hpp"

namespace blocktrain::trainer {

/// Whether `path` is a folder with the files of an image data set, by their names; train.bin, which CIFAR-100 shares
/// with others, has to have the size of images too.
bool holds_images(const std::string& path);

/// Reads the images at `path`, for the task of that name: how many of which shape, how often each class is there.
/// Throws as open_images().
DataReport report_images(std::string_view task, const std::string& path, const ImageDataOptions& options);

}  // namespace blocktrain::trainer
