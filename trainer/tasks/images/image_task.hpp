#pragma once
/// The task of images with a class each: networks learn to draw them.

#include "trainer/tasks/task.hpp"

namespace blocktrain::trainer {

const Task& image_task();

}  // namespace blocktrain::trainer
