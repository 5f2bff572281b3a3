#include "trainer/tasks/tasks.hpp"

#include <array>

#include "trainer/tasks/images/image_task.hpp"

namespace blocktrain::trainer {

std::span<const Task* const> tasks() {
  static const std::array all{
      &image_task(),
  };
  return all;
}

const Task& task_of(const Config&) { return *tasks().front(); }

void prepare_tasks() {
  for (const Task* task : tasks()) task->prepare();
}

}  // namespace blocktrain::trainer
