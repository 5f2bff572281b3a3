#include "trainer/tasks/task.hpp"

#include "kernels/error.hpp"

namespace blocktrain::trainer {

void Task::generate(TrainedNetwork&, const GenerateArguments&) const { require_generation(*this); }

DataReport Task::inspect(const std::string&, const blocks::Options&) const {
  throw InputError("data: the task '" + std::string(name()) + "' has nothing to say of data");
}

void require_generation(const Task& task) {
  if (task.generates()) return;
  throw InputError("generate: the task '" + std::string(task.name()) +
                   "' makes nothing that could be written; blocktrain eval RUN measures how good the network is");
}

}  // namespace blocktrain::trainer
