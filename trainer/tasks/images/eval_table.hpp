#pragma once
/// What `blocktrain eval` prints at the end.

#include <string>

#include "trainer/tasks/images/evaluation.hpp"

namespace blocktrain::trainer {

/// Tables for a terminal of 100 columns.
std::string to_table(const EvalResult& result);

}  // namespace blocktrain::trainer
