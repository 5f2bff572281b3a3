#include "trainer/tasks/tasks.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "trainer/tasks/images/image_task.hpp"
#include "trainer/tasks/labels/label_task.hpp"
#include "trainer/tasks/tokens/token_task.hpp"

namespace blocktrain::trainer {

std::span<const Task* const> tasks() {
  static const std::array all{
      &image_task(),
      &label_task(),
      &token_task(),
  };
  return all;
}

const Task* task_named(std::string_view name) {
  const auto all = tasks();
  const auto found = std::find_if(all.begin(), all.end(), [name](const Task* task) { return task->name() == name; });
  return found == all.end() ? nullptr : *found;
}

const Task& task_of(const Config& config) {
  const std::string_view name = architecture_of(config).task;
  const Task* const found = task_named(name);
  if (found == nullptr) throw std::logic_error("there is no task " + std::string(name));
  return *found;
}

void prepare_tasks() {
  for (const Task* task : tasks()) task->prepare();
}

}  // namespace blocktrain::trainer
