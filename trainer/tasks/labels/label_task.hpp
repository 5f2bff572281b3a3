#pragma once
/// Task `labels`: the classes of images, told.

#include "trainer/tasks/task.hpp"

namespace blocktrain::trainer {

const Task& label_task();

}  // namespace blocktrain::trainer
