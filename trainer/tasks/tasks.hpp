#pragma once
/// The tasks there are.

#include <span>
#include <string_view>

#include "trainer/tasks/task.hpp"

namespace blocktrain::trainer {

std::span<const Task* const> tasks();

/// The one of that name; null where there is none.
const Task* task_named(std::string_view name);

/// The one that a config trains for.
const Task& task_of(const Config& config);

/// Task::prepare() of all of them, before the first thread is started.
void prepare_tasks();

}  // namespace blocktrain::trainer
