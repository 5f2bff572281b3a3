#pragma once
/// The task of texts: networks learn their tokens.

#include "trainer/tasks/task.hpp"

namespace blocktrain::trainer {

const Task& token_task();

}  // namespace blocktrain::trainer
