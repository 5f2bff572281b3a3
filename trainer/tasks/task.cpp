#include "trainer/tasks/task.hpp"

#include "kernels/error.hpp"

namespace blocktrain::trainer {

void Task::generate(TrainedNetwork&, const GenerateArguments&) const {
  throw InputError("generate: the task '" + std::string(name()) +
                   "' makes nothing that could be written; blocktrain eval RUN measures how good the network is");
}

}  // namespace blocktrain::trainer
